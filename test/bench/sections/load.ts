import { once } from "node:events";
import autocannon, { type Result } from "autocannon";
import { Client } from "../support/client.ts";
import { median, percentile, rounded } from "../support/measure.ts";
import { MILLION, millionFiles } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";
import { startUaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const SIZES = [100, 1_000];
const CONNECTIONS = [1, 8, 32];
const SECONDS = 5;
const REQUESTS_BEFORE_MEMORY = 10_000;
const WARM_UP_REQUESTS = 300;

interface Run {
  files: number;
  connections: number;
  requestsPerSecond: number;
  /** Milliseconds. */
  p50: number;
  p95: number;
  p99: number;
  /** Milliseconds of workerd's CPU a request. */
  cpu: number;
}

/** The Worker under load, and what it holds of memory afterwards. */
export const load: Section = {
  name: "load",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    const worker = await startWorker("index", uaa.url);
    const echo = await startWorker("echo");
    try {
      await putSnapshot(worker, millionFiles());
      await loadSnapshot(worker, uaa.token);
      const loaded = worker.usage().bytes;
      const started = echo.usage().bytes;
      const aim = { url: new URL("/v3/resource_matches", worker.url).href, token: uaa.token };
      await fire(aim, 100, { connections: 8, amount: REQUESTS_BEFORE_MEMORY });
      await fire({ ...aim, url: echo.url.href }, 100, { connections: 8, amount: REQUESTS_BEFORE_MEMORY });
      const [after, echoed] = [worker.usage().bytes, echo.usage().bytes];

      const runs: Run[] = [];
      for (const files of SIZES) {
        await fire(aim, files, { connections: 8, amount: WARM_UP_REQUESTS });
        for (const connections of CONNECTIONS) runs.push(await measured(worker, aim, files, connections));
      }
      return {
        tables: [
          {
            title: "Under load, all resources held by a warm snapshot of 10^6",
            columns: [
              "resources",
              "connections",
              "requests a second",
              "p50 ms",
              "p95 ms",
              "p99 ms",
              "CPU ms",
            ],
            rows: runs.map(({ files, connections, requestsPerSecond, p50, p95, p99, cpu }) => [
              files,
              connections,
              Math.round(requestsPerSecond),
              ...[p50, p95, p99, cpu].map(rounded),
            ]),
            note:
              `autocannon for ${SECONDS} s each, on the same machine; one workerd, which runs an isolate on one core. CPU is ` +
              "workerd's for a request.",
          },
          {
            title: "Memory of workerd, resident",
            columns: ["when", "Worker MB", "echo MB"],
            rows: [
              ["before, the Worker with the snapshot of 10^6", megabytes(loaded), megabytes(started)],
              [
                `after ${REQUESTS_BEFORE_MEMORY} requests of 100 resources`,
                megabytes(after),
                megabytes(echoed),
              ],
            ],
            note:
              "The whole process: the runtime, the local KV and the Worker. The echo, which keeps nothing, shows what the " +
              "runtime itself takes before it gives memory back.",
          },
        ],
        targets: [],
        charts: SIZES.map((files) => ({
          name: `load-${files}`,
          title: `Time of a request of ${files.toLocaleString("en")} resources, by connections`,
          unit: "ms",
          series: ["p50", "p95", "p99"],
          groups: runs
            .filter((run) => run.files === files)
            .map(({ connections, p50, p95, p99 }) => ({
              label: connections === 1 ? "1 connection" : `${connections}`,
              values: [p50, p95, p99].map(rounded),
            })),
        })),
      };
    } finally {
      uaa.stop();
      await Promise.all([worker.stop(), echo.stop()]);
    }
  },
};

interface Aim {
  url: string;
  token: string;
}

async function measured(worker: WorkerProcess, aim: Aim, files: number, connections: number): Promise<Run> {
  const cpuBefore = worker.usage().cpuMs;
  const { times, seconds } = await fire(aim, files, { connections, duration: SECONDS });
  return {
    files,
    connections,
    requestsPerSecond: times.length / seconds,
    p50: median(times),
    p95: percentile(times, 95),
    p99: percentile(times, 99),
    cpu: (worker.usage().cpuMs - cpuBefore) / times.length,
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
      body: JSON.stringify({ resources: app(files, MILLION, { heldShare: 1 }) }),
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

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
