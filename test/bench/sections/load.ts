import { once } from "node:events";
import autocannon, { type Result } from "autocannon";
import { Client } from "../support/client.ts";
import { formatRange, median, percentile, type Range, rangeOf, round } from "../support/measure.ts";
import { MILLION, packMillionFiles } from "../support/pool.ts";
import { createApp } from "../support/resources.ts";
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

/** Figures of a run, or ranges of several runs. */
interface Figures<T> {
  requestsPerSecond: T;
  /** Milliseconds. */
  p50: T;
  p95: T;
  p99: T;
  /** CPU of workerd per request, in ms. */
  cpu: T;
}
const FIGURES = ["requestsPerSecond", "p50", "p95", "p99", "cpu"] as const;

interface Load extends Figures<Range> {
  way: Way;
  files: number;
  connections: number;
}

/** Measures the Worker and the echo under load, and their memory afterwards. */
export const load: Section = {
  name: "load",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    try {
      const loads = await measureLoads(uaa);
      const memory = await measureMemory(uaa);
      return {
        tables: [
          {
            title: "Under load, all resources in a warm snapshot of 10^6",
            columns: ["resources", "connections", "", "requests/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms"],
            rows: loads.map((each) => [
              each.files,
              each.connections,
              each.way === "worker" ? "Worker" : "echo",
              ...FIGURES.map((figure) => formatRange(each[figure])),
            ]),
            note:
              `Medians and ranges of ${RUNS} runs of autocannon, in turn, ${SECONDS} s each on the same machine. Worker and echo have a ` +
              "workerd each, which runs its isolate on one core. CPU is that of workerd per request.",
          },
          {
            title: `Resident memory of workerd after ${REQUESTS_BEFORE_MEMORY} requests of 100 resources`,
            columns: ["", "MB"],
            rows: [
              ["Worker with a snapshot of 10^6, before", formatRange(rangeOf(memory.loaded))],
              ["Worker, after", formatRange(rangeOf(memory.worker))],
              ["echo, after", formatRange(rangeOf(memory.echo))],
              ["Worker minus echo", formatRange(rangeOf(memory.beyond))],
            ],
            note:
              `Medians and ranges of ${MEMORY_RUNS} pairs of processes with runtime, local KV, Durable Objects and Worker. The echo keeps ` +
              "nothing: it shows how much the runtime itself allocates before it frees memory.",
          },
        ],
        targets: [
          {
            what: `memory after ${REQUESTS_BEFORE_MEMORY} requests, snapshot of 10^6, Worker minus echo`,
            measured: rangeOf(memory.beyond).max,
            atMost: GROWTH_MAX_MB,
            unit: " MB",
          },
        ],
        charts: SIZES.map((files) => ({
          name: `load-${files}`,
          title: `Latency of a request of ${files.toLocaleString("en")} resources, by connections`,
          unit: "ms",
          series: ["p50", "p95", "p99"],
          groups: loads
            .filter((each) => each.files === files)
            .map(({ way, connections, p50, p95, p99 }) => ({
              label: `${way === "worker" ? "Worker" : "echo"}, ${connections}`,
              values: [p50, p95, p99].map(({ median: ms }) => round(ms)),
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
  target: LoadTarget;
}

/** Starts the Worker, loads its snapshot, and starts the echo. */
async function startSides({ url, issueToken }: Uaa): Promise<Record<Way, Side>> {
  const token = await issueToken("developer");
  const worker = await startWorker("index", url);
  const echo = await startWorker("echo");
  await putSnapshot(worker, packMillionFiles());
  await loadSnapshot(worker, token);
  return {
    worker: { process: worker, target: { url: new URL("/v3/resource_matches", worker.url).href, token } },
    echo: { process: echo, target: { url: echo.url.href, token } },
  };
}

async function stopSides(sides: Record<Way, Side>): Promise<void> {
  for (const way of WAYS) await sides[way].process.stop();
}

async function measureLoads(uaa: Uaa): Promise<Load[]> {
  const sides = await startSides(uaa);
  try {
    const loads: Load[] = [];
    for (const files of SIZES) {
      for (const way of WAYS) {
        await sendRequests(sides[way].target, files, { connections: 8, amount: WARM_UP_REQUESTS });
      }
      for (const connections of CONNECTIONS) {
        const runs: Record<Way, Figures<number>[]> = { worker: [], echo: [] };
        for (let run = 0; run < RUNS; run++) {
          for (const way of WAYS) runs[way].push(await measureRun(sides[way], files, connections));
        }
        for (const way of WAYS) {
          const ranges = FIGURES.map((figure) => [figure, rangeOf(runs[way].map((run) => run[figure]))]);
          loads.push({ way, files, connections, ...(Object.fromEntries(ranges) as Figures<Range>) });
        }
      }
    }
    return loads;
  } finally {
    await stopSides(sides);
  }
}

/** Returns megabytes for each pair of processes. */
async function measureMemory(uaa: Uaa): Promise<Record<Way | "loaded" | "beyond", number[]>> {
  const memory: Record<Way | "loaded" | "beyond", number[]> = {
    worker: [],
    echo: [],
    loaded: [],
    beyond: [],
  };
  for (let run = 0; run < MEMORY_RUNS; run++) {
    const sides = await startSides(uaa);
    const resident = (way: Way) => sides[way].process.usage().bytes / 1e6;
    try {
      memory.loaded.push(resident("worker"));
      for (const way of WAYS) {
        await sendRequests(sides[way].target, 100, { connections: 8, amount: REQUESTS_BEFORE_MEMORY });
      }
      const [worker, echo] = [resident("worker"), resident("echo")];
      memory.worker.push(worker);
      memory.echo.push(echo);
      memory.beyond.push(worker - echo);
    } finally {
      await stopSides(sides);
    }
  }
  return memory;
}

interface LoadTarget {
  url: string;
  token: string;
}

async function measureRun(
  { process, target }: Side,
  files: number,
  connections: number,
): Promise<Figures<number>> {
  const cpuBefore = process.usage().cpuMs;
  const { times, seconds } = await sendRequests(target, files, { connections, duration: SECONDS });
  return {
    requestsPerSecond: times.length / seconds,
    p50: median(times),
    p95: percentile(times, 95),
    p99: percentile(times, 99),
    cpu: (process.usage().cpuMs - cpuBefore) / times.length,
  };
}

/** @returns of each request the milliseconds that it took: autocannon does not report the 95th percentile */
async function sendRequests(
  { url, token }: LoadTarget,
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
      body: JSON.stringify({ resources: createApp(files, MILLION, { presentShare: 1 }) }),
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

/** Makes the Worker load its snapshot: a large request waits for it. */
async function loadSnapshot({ url }: WorkerProcess, token: string): Promise<void> {
  const client = new Client(new URL("/v3/resource_matches", url), { Authorization: `Bearer ${token}` });
  await client.post(Buffer.from(JSON.stringify({ resources: createApp(5_000, MILLION) })));
  client.close();
}
