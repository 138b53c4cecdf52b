import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ColdCall } from "../support/cold-call.ts";
import { rangeOf, rangeText } from "../support/measure.ts";
import { matchBytes } from "../support/pipeline.ts";
import { MILLION, millionFiles, openCache } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Cell, Findings, Section, Target } from "../support/section.ts";

const SIZES = [1, 100, 1_000, 5_000];
const PROCESSES = 9;
const RATIO_MAX: Record<number, number> = { 100: 3, 5000: 1.2 };
const COLD_CALL = fileURLToPath(new URL("../support/cold-call.ts", import.meta.url));
const REGISTER = new URL("../register.ts", import.meta.url).href;
const execute = promisify(execFile);

/**
 * The first request of a fresh process whose module is compiled and whose snapshot is opened; and what these two take. All
 * else, WebAssembly's functions among it, is compiled when it is first called.
 */
export const cold: Section = {
  name: "cold",
  async run(): Promise<Findings> {
    const { manifest, parts } = millionFiles();
    const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
    try {
      await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
      for (const [number, part] of parts.entries()) {
        await writeFile(join(folder, `part-${number}`), new Uint8Array(part));
      }
      const rows: Cell[][] = [];
      const targets: Target[] = [];
      const before: Record<"compile" | "open", number[]> = { compile: [], open: [] };
      for (const files of SIZES) {
        const request = JSON.stringify({ resources: app(files, MILLION) });
        await writeFile(join(folder, "request.json"), request);
        const body = new TextEncoder().encode(request);
        await writeFile(join(folder, "answer.json"), await matchBytes(body, openCache({ manifest, parts })));
        const times: { pipeline: number[]; json: number[] } = { pipeline: [], json: [] };
        for (let process = 0; process < PROCESSES; process++) {
          const ours = await firstCall("pipeline", folder);
          before.compile.push(ours.compile);
          before.open.push(ours.open);
          times.pipeline.push(ours.request);
          times.json.push((await firstCall("json", folder)).request);
        }
        const ratio = rangeOf(times.pipeline.map((ms, process) => ms / (times.json[process] as number)));
        rows.push([
          files,
          rangeText(rangeOf(times.pipeline)),
          rangeText(rangeOf(times.json)),
          rangeText(ratio),
        ]);
        const atMost = RATIO_MAX[files];
        if (atMost !== undefined) {
          const what = `bytes to bytes against JSON alone, ${files} resources, cold`;
          targets.push({ what, measured: ratio.most, atMost, unit: "x" });
        }
      }
      return {
        tables: [
          {
            title:
              "The same, cold: the first request of a fresh process, module compiled and snapshot opened",
            columns: ["resources", "pipeline ms", "JSON alone ms", "ratio"],
            rows,
            note: `Medians of ${PROCESSES} processes each, in turn, and their range. The snapshot of 10^6 was opened by a look-up of one content.`,
          },
          {
            title: "What a fresh process takes before that",
            columns: ["", "ms"],
            rows: [
              ["compiling the module", rangeText(rangeOf(before.compile))],
              ["opening manifest and snapshot", rangeText(rangeOf(before.open))],
            ],
            note:
              "Of all these processes. KV takes no time; the snapshot's 8 MB go to memory that nobody has touched before, " +
              "for which the kernel finds 2,000 pages.",
          },
        ],
        targets,
      };
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

async function firstCall(way: "pipeline" | "json", folder: string): Promise<ColdCall> {
  const { stdout } = await execute(process.execPath, ["--import", REGISTER, COLD_CALL, way, folder]);
  return JSON.parse(stdout);
}
