import { startUaa } from "../../foundation/uaa/uaa.ts";
import { Client } from "../support/client.ts";
import { formatRange, measureMs, rangeOf } from "../support/measure.ts";
import { MILLION, packMillionFiles } from "../support/pool.ts";
import { createApp } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";
import { putSnapshot, startWorker } from "../support/worker-process.ts";

const PROCESSES = 5;
const FILES = 5_000;
const FIRST_REQUEST_MAX_MS = 25;

const WAYS = {
  echo: "echo",
  without: "Worker, no snapshot in the local KV",
  with: "Worker, snapshot of 10^6",
  second: "Worker, snapshot of 10^6, next request",
} as const;
type Way = keyof typeof WAYS;

/** Measures the first request of a new workerd process. */
export const firstRequest: Section = {
  name: "first-request",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    const headers = { Authorization: `Bearer ${await uaa.issueToken()}` };
    const body = Buffer.from(JSON.stringify({ resources: createApp(FILES, MILLION, { presentShare: 1 }) }));
    const ms: Record<Way, number[]> = { echo: [], without: [], with: [], second: [] };
    const cpu: Record<Way, number[]> = { echo: [], without: [], with: [], second: [] };
    try {
      for (let process = 0; process < PROCESSES; process++) {
        for (const way of ["echo", "without", "with"] as const) {
          const worker = await startWorker(way === "echo" ? "echo" : "index", uaa.url);
          const client = new Client(
            way === "echo" ? worker.url : new URL("/v3/resource_matches", worker.url),
            headers,
          );
          const post = async (as: Way) => {
            const before = worker.usage().cpuMs;
            ms[as].push(await measureMs(() => client.post(body)));
            cpu[as].push(worker.usage().cpuMs - before);
          };
          if (way === "with") await putSnapshot(worker, packMillionFiles());
          await post(way);
          if (way === "with") await post("second");
          client.close();
          await worker.stop();
        }
      }
    } finally {
      await uaa.close();
    }
    return {
      tables: [
        {
          title: "The first request of a workerd process, 5,000 resources",
          columns: ["", "ms", "CPU ms of workerd"],
          rows: (Object.keys(WAYS) as Way[]).map((way): Cell[] => [
            WAYS[way],
            formatRange(rangeOf(ms[way])),
            formatRange(rangeOf(cpu[way])),
          ]),
          note:
            `Medians and ranges of ${PROCESSES} processes each, in turn. The Worker loads UAA's keys, the manifest, and the snapshot if ` +
            "there is one: 8 MB in small pieces, because the local KV is a Worker in the same workerd.",
        },
      ],
      targets: [
        {
          what: "first request of a workerd process, 5,000 resources, with a snapshot",
          measured: rangeOf(ms.with).max,
          atMost: FIRST_REQUEST_MAX_MS,
          unit: " ms",
        },
      ],
    };
  },
};
