import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { median, rounded } from "../support/measure.ts";
import { answerTo } from "../support/pipeline.ts";
import { MILLION, millionFiles, openCache } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";

const SIZES = [1, 100, 1_000, 5_000];
const PROCESSES = 7;
const COLD_CALL = fileURLToPath(new URL("../support/cold-call.ts", import.meta.url));
const execute = promisify(execFile);

/** The pipeline's first call of all, before anything is compiled: what a fresh isolate's first request meets. */
export const cold: Section = {
  name: "cold",
  async run(): Promise<Findings> {
    const { pointer, parts } = millionFiles();
    const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
    try {
      await writeFile(join(folder, "pointer.json"), JSON.stringify(pointer));
      for (const [number, part] of parts.entries()) {
        await writeFile(join(folder, `part-${number}`), new Uint8Array(part));
      }
      const rows: Cell[][] = [];
      for (const files of SIZES) {
        const request = JSON.stringify({ resources: app(files, MILLION) });
        await writeFile(join(folder, "request.json"), request);
        await writeFile(join(folder, "answer.json"), await answerTo(request, openCache({ pointer, parts })));
        const times: { pipeline: number[]; json: number[] } = { pipeline: [], json: [] };
        for (let process = 0; process < PROCESSES; process++) {
          times.pipeline.push(await firstCall("pipeline", folder));
          times.json.push(await firstCall("json", folder));
        }
        const [ours, json] = [median(times.pipeline), median(times.json)];
        rows.push([files, rounded(ours), rounded(json), rounded(ours / json)]);
      }
      return {
        tables: [
          {
            title: "The same, cold: the first call of a fresh process",
            columns: ["resources", "pipeline ms", "JSON alone ms", "ratio"],
            rows,
            note: `Medians of ${PROCESSES} processes each. The pipeline also opens pointer and snapshot, from a KV that takes no time.`,
          },
        ],
        targets: [],
      };
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

async function firstCall(way: "pipeline" | "json", folder: string): Promise<number> {
  const { stdout } = await execute(process.execPath, [COLD_CALL, way, folder]);
  return Number(stdout);
}
