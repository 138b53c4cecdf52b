import { startUaa } from "../../foundation/uaa/uaa.ts";
import { Client } from "../support/client.ts";
import { rangeOf, rangeText, timed } from "../support/measure.ts";
import { MILLION, millionFiles } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";
import { putSnapshot, startWorker } from "../support/worker-process.ts";

const PROCESSES = 5;
const FILES = 5_000;
const FIRST_MAX_MS = 25;

const WAYS = {
  echo: "the echo",
  without: "the Worker, without a snapshot in the local KV",
  with: "the Worker, with a snapshot of 10^6",
  second: "its next request",
} as const;
type Way = keyof typeof WAYS;

/** The first request of a fresh workerd. */
export const first: Section = {
  name: "first",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    const headers = { Authorization: `Bearer ${await uaa.issueToken()}` };
    const body = Buffer.from(JSON.stringify({ resources: app(FILES, MILLION, { presentShare: 1 }) }));
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
            ms[as].push(await timed(() => client.post(body)));
            cpu[as].push(worker.usage().cpuMs - before);
          };
          if (way === "with") await putSnapshot(worker, millionFiles());
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
          title: "The first request of a fresh workerd, 5,000 resources",
          columns: ["", "ms", "CPU ms of workerd"],
          rows: (Object.keys(WAYS) as Way[]).map((way): Cell[] => [
            WAYS[way],
            rangeText(rangeOf(ms[way])),
            rangeText(rangeOf(cpu[way])),
          ]),
          note:
            `Of ${PROCESSES} processes each, in turn. The Worker loads UAA's keys, the manifest, and the snapshot where there is one: ` +
            "8 MB that the local KV, itself a Worker in the same workerd, passes on in small pieces.",
        },
      ],
      targets: [
        {
          what: "first request of a fresh workerd, 5,000 resources, with a snapshot",
          measured: rangeOf(ms.with).most,
          atMost: FIRST_MAX_MS,
          unit: " ms",
        },
      ],
    };
  },
};
