import { once } from "node:events";
import autocannon, { type Result } from "autocannon";
import { Client } from "../support/client.ts";
import { median, percentile, type Range, rangeOf, rangeText, rounded } from "../support/measure.ts";
import { MILLION, millionFiles } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";
import { startUaa, type Uaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const SIZES = [100, 1_000];
const CONNECTIONS = [8, 32];
const RUNS = 5;
const SECONDS = 1.5;
const WARM_UP_REQUESTS = 300;

const MEMORY_RUNS = 5;
const REQUESTS_BEFORE_MEMORY = 10_000;
const GROWTH_MAX_MB = 40;

const WAYS = ["worker", "echo"] as const;
type Way = (typeof WAYS)[number];

/** A run, or of several a range each. */
interface Figures<T> {
  requestsPerSecond: T;
  /** Milliseconds. */
  p50: T;
  p95: T;
  p99: T;
  /** Milliseconds of workerd's CPU a request. */
  cpu: T;
}
const FIGURES = ["requestsPerSecond", "p50", "p95", "p99", "cpu"] as const;

interface Load extends Figures<Range> {
  way: Way;
  files: number;
  connections: number;
}

/** The Worker and the echo under load, and what they hold of memory afterwards. */
export const load: Section = {
  name: "load",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    try {
      const loads = await underLoad(uaa);
      const memory = await memoryOf(uaa);
      return {
        tables: [
          {
            title: "Under load, all resources held by a warm snapshot of 10^6",
            columns: [
              "resources",
              "connections",
              "",
              "requests a second",
              "p50 ms",
              "p95 ms",
              "p99 ms",
              "CPU ms",
            ],
            rows: loads.map((each) => [
              each.files,
              each.connections,
              each.way === "worker" ? "Worker" : "echo",
              ...FIGURES.map((figure) => rangeText(each[figure])),
            ]),
            note:
              `Medians of ${RUNS} runs and their range, in turn, by autocannon for ${SECONDS} s each on the same machine; one ` +
              "workerd each, which runs an isolate on one core. CPU is workerd's for a request.",
          },
          {
            title: `Memory of workerd, resident, after ${REQUESTS_BEFORE_MEMORY} requests of 100 resources`,
            columns: ["", "MB"],
            rows: [
              ["Worker with the snapshot of 10^6, before", rangeText(rangeOf(memory.loaded))],
              ["Worker, after", rangeText(rangeOf(memory.worker))],
              ["echo, after", rangeText(rangeOf(memory.echo))],
              ["Worker beyond the echo", rangeText(rangeOf(memory.beyond))],
            ],
            note:
              `Of ${MEMORY_RUNS} pairs of processes: the runtime, the local KV, objects and the Worker. The echo, which keeps ` +
              "nothing, shows what the runtime itself takes before it gives memory back.",
          },
        ],
        targets: [
          {
            what: `memory after ${REQUESTS_BEFORE_MEMORY} requests, snapshot of 10^6, beyond the echo's`,
            measured: rangeOf(memory.beyond).most,
            atMost: GROWTH_MAX_MB,
            unit: " MB",
          },
        ],
        charts: SIZES.map((files) => ({
          name: `load-${files}`,
          title: `Time of a request of ${files.toLocaleString("en")} resources, by connections`,
          unit: "ms",
          series: ["p50", "p95", "p99"],
          groups: loads
            .filter((each) => each.files === files)
            .map(({ way, connections, p50, p95, p99 }) => ({
              label: `${way === "worker" ? "Worker" : "echo"}, ${connections}`,
              values: [p50, p95, p99].map(({ median: ms }) => rounded(ms)),
            })),
        })),
      };
    } finally {
      uaa.stop();
    }
  },
};

interface Side {
  process: WorkerProcess;
  aim: Aim;
}

/** The Worker, whose snapshot is loaded, and the echo. */
async function bothSides({ url, tokenOf }: Uaa): Promise<Record<Way, Side>> {
  const token = await tokenOf("developer");
  const worker = await startWorker("index", url);
  const echo = await startWorker("echo");
  await putSnapshot(worker, millionFiles());
  await loadSnapshot(worker, token);
  return {
    worker: { process: worker, aim: { url: new URL("/v3/resource_matches", worker.url).href, token } },
    echo: { process: echo, aim: { url: echo.url.href, token } },
  };
}

async function stopped(sides: Record<Way, Side>): Promise<void> {
  for (const way of WAYS) await sides[way].process.stop();
}

async function underLoad(uaa: Uaa): Promise<Load[]> {
  const sides = await bothSides(uaa);
  try {
    const loads: Load[] = [];
    for (const files of SIZES) {
      for (const way of WAYS) {
        await fire(sides[way].aim, files, { connections: 8, amount: WARM_UP_REQUESTS });
      }
      for (const connections of CONNECTIONS) {
        const runs: Record<Way, Figures<number>[]> = { worker: [], echo: [] };
        for (let run = 0; run < RUNS; run++) {
          for (const way of WAYS) runs[way].push(await measured(sides[way], files, connections));
        }
        for (const way of WAYS) {
          const ranges = FIGURES.map((figure) => [figure, rangeOf(runs[way].map((run) => run[figure]))]);
          loads.push({ way, files, connections, ...(Object.fromEntries(ranges) as Figures<Range>) });
        }
      }
    }
    return loads;
  } finally {
    await stopped(sides);
  }
}

/** Megabytes, of each pair of processes. */
async function memoryOf(uaa: Uaa): Promise<Record<Way | "loaded" | "beyond", number[]>> {
  const memory: Record<Way | "loaded" | "beyond", number[]> = {
    worker: [],
    echo: [],
    loaded: [],
    beyond: [],
  };
  for (let run = 0; run < MEMORY_RUNS; run++) {
    const sides = await bothSides(uaa);
    const resident = (way: Way) => sides[way].process.usage().bytes / 1e6;
    try {
      memory.loaded.push(resident("worker"));
      for (const way of WAYS) {
        await fire(sides[way].aim, 100, { connections: 8, amount: REQUESTS_BEFORE_MEMORY });
      }
      const [worker, echo] = [resident("worker"), resident("echo")];
      memory.worker.push(worker);
      memory.echo.push(echo);
      memory.beyond.push(worker - echo);
    } finally {
      await stopped(sides);
    }
  }
  return memory;
}

interface Aim {
  url: string;
  token: string;
}

async function measured(
  { process, aim }: Side,
  files: number,
  connections: number,
): Promise<Figures<number>> {
  const cpuBefore = process.usage().cpuMs;
  const { times, seconds } = await fire(aim, files, { connections, duration: SECONDS });
  return {
    requestsPerSecond: times.length / seconds,
    p50: median(times),
    p95: percentile(times, 95),
    p99: percentile(times, 99),
    cpu: (process.usage().cpuMs - cpuBefore) / times.length,
  };
}

/** @returns of each request the milliseconds that it took: autocannon's own figures lack the 95th percentile */
async function fire(
  { url, token }: Aim,
  files: number,
  extent: { connections: number; amount?: number; duration?: number },
): Promise<{ times: number[]; seconds: number }> {
  const times: number[] = [];
  const start = performance.now();
  const running = autocannon(
    {
      url,
      method: "POST",
      headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify({ resources: app(files, MILLION, { presentShare: 1 }) }),
      ...extent,
    },
    () => {},
  );
  running.on("response", (_client, _status, _bytes, ms) => times.push(ms));
  const [{ non2xx, errors, timeouts }] = (await once(running, "done")) as [Result];
  if (non2xx + errors + timeouts > 0)
    throw new Error(`${non2xx} refused, ${errors} failed, ${timeouts} timed out`);
  return { times, seconds: (performance.now() - start) / 1000 };
}

/** A large request waits for the snapshot. */
async function loadSnapshot({ url }: WorkerProcess, token: string): Promise<void> {
  const client = new Client(new URL("/v3/resource_matches", url), { Authorization: `Bearer ${token}` });
  await client.post(Buffer.from(JSON.stringify({ resources: app(5_000, MILLION) })));
  client.close();
}
