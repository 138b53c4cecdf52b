/**
 * Minutes of pushes on 8 and then 32 connections, while an operator adds, removes and publishes, with every answer checked.
 *
 *     npm run load -- --minutes 2
 */
import { setTimeout as pause } from "node:timers/promises";
import { describeMachine } from "../bench/support/machine.ts";
import { median, percentile, rounded } from "../bench/support/measure.ts";
import { startWorker } from "../bench/support/worker-process.ts";
import { startUaa } from "../foundation/uaa/uaa.ts";
import { exitWithUsage, parseCommandLine } from "../support/node/command-line.ts";
import { Model } from "./model.ts";
import { Operator } from "./operator.ts";
import { Pushes } from "./pushes.ts";

/** Resources by their numbers: held throughout, gone throughout, changing, and never told of. */
const PRESENT = 80_000;
const GONE = 5_000;
const CHANGING = 15_000;
const NEVER = 20_000;
const TOTAL = PRESENT + GONE + CHANGING + NEVER;
const CONNECTIONS = [8, 32];
const SAMPLED_MS = 1_000;
const SETTLED_MAX_MS = 60_000;
const TOKEN_SECONDS = 86_400;
/** Of the time, before memory must be flat; and by how much it may still grow. */
const WARM_UP_SHARE = 0.4;
const GROWTH_MAX = 1.2;

const USAGE = `Usage: npm run load -- [options]

Options:
  --minutes <number>  how long the pushes go on, in all (default: 2)
  --help              shows this`;

const { values } = parseCommandLine(USAGE, { minutes: { type: "string", default: "2" } });
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 600)) exitWithUsage("--minutes must be a number, at most 600", USAGE);

const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index);
const megabytes = (bytes: number) => Math.round(bytes / 1e6);

const uaa = await startUaa();
const worker = await startWorker("index", uaa.url);
try {
  process.exitCode = await load();
} finally {
  await Promise.all([uaa.close(), worker.stop()]);
}

async function load(): Promise<number> {
  const model = new Model(TOTAL);
  const token = await uaa.issueToken({ scopes: ["cloud_controller.admin"], lifetime: TOKEN_SECONDS });
  const operator = new Operator(worker.url, token, model);
  await operator.tell(range(0, PRESENT + GONE));
  await operator.tell([], range(PRESENT, GONE));
  await operator.publish();
  await settle(new Pushes(worker.url, uaa, model, TOTAL));
  // From here on, what has been told counts as told long ago.
  for (const index of range(0, PRESENT + GONE)) model.longAgo(index);
  const pushes = new Pushes(worker.url, uaa, model, TOTAL);
  await pushes.prepare();

  const { load: loadBefore } = describeMachine();
  const memory: number[] = [];
  const sampling = setInterval(() => memory.push(worker.usage().bytes), SAMPLED_MS);
  const cpuBefore = worker.usage().cpuMs;
  for (const connections of CONNECTIONS) {
    const end = Date.now() + (minutes * 60_000) / CONNECTIONS.length;
    const isOver = () => Date.now() >= end;
    const clients = Array.from({ length: connections }, () => pushes.work(connections, isOver));
    await Promise.all([operator.work(PRESENT + GONE, CHANGING, isOver), ...clients]);
  }
  clearInterval(sampling);
  return report({ pushes, operator, memory, cpuMs: worker.usage().cpuMs - cpuBefore, loadBefore });
}

/** Waits until a whole round of the pool is answered as it was told. */
async function settle(pushes: Pushes): Promise<void> {
  const token = await uaa.issueToken({ scopes: ["cloud_controller.admin"], lifetime: TOKEN_SECONDS });
  const asked = range(PRESENT - 4_000, 4_500);
  const end = Date.now() + SETTLED_MAX_MS;
  for (;;) {
    const matched = await pushes.ask(asked, token, 1);
    if (matched && asked.every((index) => matched.has(index) === index < PRESENT)) return;
    if (Date.now() > end)
      throw new Error(`the pool is not answered: ${pushes.errors[0] ?? `${matched?.size} of it`}`);
    await pause(SAMPLED_MS);
  }
}

interface Outcome {
  pushes: Pushes;
  operator: Operator;
  memory: number[];
  cpuMs: number;
  loadBefore: number;
}

function report({ pushes, operator, memory, cpuMs, loadBefore }: Outcome): number {
  const { answers, resources, claims, missed, claimedGone } = pushes.counts;
  const { told, removed, publications } = operator.counts;
  console.log(`${minutes} minutes, load of the machine before: ${loadBefore}`);
  console.log(
    `${answers} answers to ${resources} resources, ${claims} claims; ${pushes.errors.length} errors`,
  );
  console.log(
    `the operator told of ${told} present and ${removed} removed, and published anew ${publications} times`,
  );
  console.log(
    `${pushes.wrong.length} wrong answers; ${missed} times what was told long ago was not claimed; ${claimedGone} claims ` +
      `of what had left, the last ${rounded(pushes.longestClaim / 1000)} s after that`,
  );
  for (const text of [...pushes.wrong, ...pushes.errors.slice(0, 10)]) console.log(`  ${text}`);

  for (const connections of CONNECTIONS) {
    for (const [least, most] of [
      [1, 1],
      [10, 10],
      [100, 100],
      [400, 1_000],
      [5_000, 5_000],
    ] as const) {
      const times = pushes.timed
        .filter((each) => each.connections === connections && each.files >= least && each.files <= most)
        .map(({ ms }) => ms);
      const [p50, p95, p99] = [median(times), percentile(times, 95), percentile(times, 99)].map(rounded);
      console.log(
        `${connections} connections, ${least === most ? least : `${least} or ${most}`} resources: ` +
          `${times.length} requests, p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms`,
      );
    }
  }
  console.log(`CPU of workerd: ${rounded(cpuMs / answers)} ms an answer`);

  const every = Math.max(1, Math.floor(memory.length / 12));
  const warm = memory.slice(Math.floor(memory.length * WARM_UP_SHARE));
  const half = Math.floor(warm.length / 2);
  const [before, after] = [median(warm.slice(0, half)), median(warm.slice(half))];
  const samples = memory.filter((_, index) => index % every === 0).map(megabytes);
  console.log(`memory of workerd over time, MB: ${samples.join(" ")}`);
  console.log(`after warm-up: median ${megabytes(before)} MB, then ${megabytes(after)} MB`);
  const isFlat = Number.isNaN(after) || after <= before * GROWTH_MAX;
  if (!isFlat) console.log(`it has grown by more than ${Math.round((GROWTH_MAX - 1) * 100)} %`);
  return pushes.wrong.length + pushes.errors.length > 0 || !isFlat ? 1 : 0;
}
