import { Client } from "../support/client.ts";
import { interleaved, median, rounded, timed } from "../support/measure.ts";
import { MILLION, millionFiles } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";
import { startUaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const FILES = 5_000;
const ROUNDS = 150;
const APPS = 8;
const RATIO_MAX = 1.7;
const BATCH = 60;

/** The Worker over HTTP, authentication included, against one that only echoes the JSON that it has parsed. */
export const http: Section = {
  name: "http",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    const worker = await startWorker("index", uaa.url);
    const echo = await startWorker("echo");
    const ours = new Client(new URL("/v3/resource_matches", worker.url), {
      Authorization: `Bearer ${uaa.token}`,
    });
    const theirs = new Client(echo.url);
    try {
      await putSnapshot(worker, millionFiles());
      const bodies = Array.from({ length: APPS }, (_, round) =>
        Buffer.from(JSON.stringify({ resources: app(FILES, MILLION, { heldShare: 1, round }) })),
      );
      const body = (round: number) => bodies[round % APPS] as Buffer;
      const first = await timed(() => ours.post(body(0)));
      for (let round = 0; round < APPS; round++) await sameBytes(ours, theirs, body(round));

      const times = await interleaved(ROUNDS, {
        worker: (round) => ours.post(body(round)),
        echo: (round) => theirs.post(body(round)),
      });
      const workerCpu = await cpuPerRequest(worker, (round) => ours.post(body(round)));
      const echoCpu = await cpuPerRequest(echo, (round) => theirs.post(body(round)));
      const [workerMs, echoMs] = [median(times.worker), median(times.echo)];
      return {
        tables: [
          {
            title: "5,000 resources through workerd over HTTP, all held by a warm snapshot of 10^6",
            columns: ["", "Worker", "echo", "ratio"],
            rows: [
              ["ms a request", rounded(workerMs), rounded(echoMs), rounded(workerMs / echoMs)],
              ["CPU ms of workerd", rounded(workerCpu), rounded(echoCpu), rounded(workerCpu / echoCpu)],
              ["ms of the first request", rounded(first), "", ""],
            ],
            note:
              `Medians of ${ROUNDS} rounds on one connection, ${body(0).byteLength} bytes there and as many back; CPU on ` +
              `average of ${BATCH} requests. The Worker also verifies the token. The echo answers JSON.stringify of ` +
              "JSON.parse. The first request of all loads UAA's keys and the snapshot from the local KV.",
          },
        ],
        targets: [
          {
            what: "Worker against echo, 5,000 resources",
            measured: workerMs / echoMs,
            atMost: RATIO_MAX,
            unit: "x",
          },
        ],
      };
    } finally {
      ours.close();
      theirs.close();
      uaa.stop();
      await Promise.all([worker.stop(), echo.stop()]);
    }
  },
};

/** What is compared must be the same: all resources are held, and all are echoed. */
async function sameBytes(ours: Client, theirs: Client, body: Buffer): Promise<void> {
  const [worker, echo] = [await ours.post(body), await theirs.post(body)];
  if (worker !== echo) throw new Error(`${worker} bytes, where the echo has ${echo}`);
}

/** Milliseconds of all of workerd's threads. */
async function cpuPerRequest(
  worker: WorkerProcess,
  post: (round: number) => Promise<number>,
): Promise<number> {
  const before = worker.usage().cpuMs;
  for (let round = 0; round < BATCH; round++) await post(round);
  return (worker.usage().cpuMs - before) / BATCH;
}
