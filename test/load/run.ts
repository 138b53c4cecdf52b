/**
 * Pushes on 8 and then 32 connections while an operator adds, removes and publishes. Checks each response, and that the
 * memory of workerd does not grow.
 *
 *     npm run load -- --minutes 2
 */
import { setTimeout as pause } from "node:timers/promises";
import { formatCount, formatNumber } from "../../src/format.ts";
import { describeMachine } from "../bench/support/machine.ts";
import { median, percentile, round } from "../bench/support/measure.ts";
import { startWorker } from "../bench/support/worker-process.ts";
import { startUaa } from "../foundation/uaa/uaa.ts";
import { exitWithUsage, parseCommandLine } from "../support/node/command-line.ts";
import { Operator } from "./operator.ts";
import { Pushes } from "./pushes.ts";
import { ReportedPool } from "./reported-pool.ts";

/** The resources, in this order: always present, removed before the pushes, changing, and never reported. */
const PRESENT = 80_000;
const REMOVED = 5_000;
const CHANGING = 15_000;
const NEVER_REPORTED = 20_000;
const TOTAL = PRESENT + REMOVED + CHANGING + NEVER_REPORTED;
const CONNECTIONS = [8, 32];
const SAMPLE_INTERVAL_MS = 1_000;
const SETTLE_MAX_MS = 60_000;
const TOKEN_SECONDS = 86_400;
/** The share of the samples before memory must stay flat. */
const WARM_UP_SHARE = 0.4;
/** The median of the second half of the other samples may exceed that of the first by this factor. */
const GROWTH_MAX = 1.2;
const ERRORS_SHOWN_MAX = 10;
const MEMORY_SAMPLES_SHOWN = 12;

const USAGE = `Usage: npm run load -- [options]

Options:
  --minutes <number>  duration of the pushes, at most 600 (default: 2)
  --help              prints this help`;

const { values } = parseCommandLine(USAGE, { minutes: { type: "string", default: "2" } });
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 600)) {
  exitWithUsage("--minutes must be a number greater than 0 and at most 600.", USAGE);
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index);
const megabytes = (bytes: number) => Math.round(bytes / 1e6);

const uaa = await startUaa();
const worker = await startWorker("index", uaa.url);
try {
  process.exitCode = await load();
} finally {
  await Promise.all([uaa.close(), worker.stop()]);
}

/** @returns the exit code */
async function load(): Promise<number> {
  const pool = new ReportedPool(TOTAL);
  const token = await uaa.issueToken({ scopes: ["cloud_controller.admin"], lifetime: TOKEN_SECONDS });
  const operator = new Operator(worker.url, token, pool);
  await operator.report(range(0, PRESENT + REMOVED));
  await operator.report([], range(PRESENT, REMOVED));
  await operator.publish();
  await waitUntilPublished(new Pushes(worker.url, uaa, pool, TOTAL), token);
  for (const index of range(0, PRESENT + REMOVED)) pool.forgetEarlierReports(index);
  const pushes = new Pushes(worker.url, uaa, pool, TOTAL);
  await pushes.prepare();

  const { load: loadBefore } = describeMachine();
  const memory: number[] = [];
  const sampling = setInterval(() => memory.push(worker.usage().bytes), SAMPLE_INTERVAL_MS);
  const cpuBefore = worker.usage().cpuMs;
  for (const connections of CONNECTIONS) {
    const end = Date.now() + (minutes * 60_000) / CONNECTIONS.length;
    const isOver = () => Date.now() >= end;
    const clients = Array.from({ length: connections }, () => pushes.run(connections, isOver));
    await Promise.all([operator.run(PRESENT + REMOVED, CHANGING, isOver), ...clients]);
  }
  clearInterval(sampling);
  const cpuMs = worker.usage().cpuMs - cpuBefore;

  console.log(`${minutes} minutes; load average of the machine before: ${loadBefore}`);
  printChecks(pushes, operator);
  printTimings(pushes);
  console.log(`CPU of workerd: ${round(cpuMs / pushes.counts.responses)} ms per response`);
  const isFlat = checkMemory(memory);
  return pushes.wrong.length + pushes.errors.length > 0 || !isFlat ? 1 : 0;
}

/** Waits until a request that has present and removed resources gets the right response. */
async function waitUntilPublished(pushes: Pushes, token: string): Promise<void> {
  const indexes = range(PRESENT - 4_000, 4_500);
  const end = Date.now() + SETTLE_MAX_MS;
  for (;;) {
    const matched = await pushes.send(indexes, token, 1);
    if (matched && indexes.every((index) => matched.has(index) === index < PRESENT)) return;
    if (Date.now() > end) {
      const state = pushes.errors[0] ?? `${matched?.size} of 4000 resources are matched`;
      throw new Error(`The reports are not visible after ${SETTLE_MAX_MS / 1000} s: ${state}`);
    }
    await pause(SAMPLE_INTERVAL_MS);
  }
}

function printChecks({ counts, errors, wrong, longestStaleMs }: Pushes, operator: Operator): void {
  const { responses, resources, matches, missed, stale } = counts;
  const { present, removed, publications } = operator.counts;
  console.log(
    `${formatCount(responses, "response")} to ${formatCount(resources, "resource")}, ` +
      `${formatCount(matches, "match", "matches")}; ${formatCount(errors.length, "error")}`,
  );
  console.log(
    `the operator reported ${formatNumber(present)} present and ${formatNumber(removed)} removed resources, ` +
      `and requested ${formatCount(publications, "snapshot")}`,
  );
  console.log(
    `${formatCount(wrong.length, "wrong response")}; ${formatCount(missed, "missed match", "missed matches")}; ` +
      `${formatCount(stale, "stale match", "stale matches")} within three minutes` +
      (stale > 0 ? `, the last ${round(longestStaleMs / 1000)} s after the removal` : ""),
  );
  for (const text of [...wrong, ...errors.slice(0, ERRORS_SHOWN_MAX)]) console.log(`  ${text}`);
}

function printTimings({ timings }: Pushes): void {
  for (const connections of CONNECTIONS) {
    for (const [minimum, maximum] of [
      [1, 1],
      [10, 10],
      [100, 100],
      [400, 1_000],
      [5_000, 5_000],
    ] as const) {
      const times = timings
        .filter(({ resources }) => resources >= minimum && resources <= maximum)
        .filter((timing) => timing.connections === connections)
        .map(({ ms }) => ms);
      const [p50, p95, p99] = [50, 95, 99].map((percent) => round(percentile(times, percent)));
      const size =
        minimum === maximum ? formatCount(minimum, "resource") : `${minimum} or ${maximum} resources`;
      console.log(
        `${connections} connections, ${size}: ` +
          `${times.length} requests, p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms`,
      );
    }
  }
}

/** @returns whether memory stayed flat after the warm-up */
function checkMemory(samples: readonly number[]): boolean {
  const interval = Math.max(1, Math.floor(samples.length / MEMORY_SAMPLES_SHOWN));
  const warm = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
  const half = Math.floor(warm.length / 2);
  const [before, after] = [median(warm.slice(0, half)), median(warm.slice(half))];
  const shown = samples.filter((_, index) => index % interval === 0).map(megabytes);
  console.log(`memory of workerd over time, MB: ${shown.join(" ")}`);
  console.log(`after the warm-up: median ${megabytes(before)} MB, then ${megabytes(after)} MB`);
  const isFlat = Number.isNaN(after) || after <= before * GROWTH_MAX;
  if (!isFlat) console.log(`Memory has grown by more than ${Math.round((GROWTH_MAX - 1) * 100)} %.`);
  return isFlat;
}
