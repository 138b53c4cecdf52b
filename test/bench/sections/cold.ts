import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ColdCall } from "../support/cold-call.ts";
import { formatRange, rangeOf } from "../support/measure.ts";
import { matchBytes } from "../support/pipeline.ts";
import { MILLION, openCache, packMillionFiles } from "../support/pool.ts";
import { createApp } from "../support/resources.ts";
import type { Cell, Findings, Section, Target } from "../support/section.ts";

const SIZES = [1, 100, 1_000, 5_000];
const PROCESSES = 9;
const RATIO_MAX: Record<number, number> = { 100: 3, 5000: 1.2 };
const COLD_CALL = fileURLToPath(new URL("../support/cold-call.ts", import.meta.url));
const REGISTER = new URL("../register.ts", import.meta.url).href;
const execute = promisify(execFile);

/**
 * Measures the first request of a new process after its module is compiled and its snapshot opened, and these two steps.
 * All other code, including the functions of the WebAssembly module, is compiled at its first call.
 */
export const cold: Section = {
  name: "cold",
  async run(): Promise<Findings> {
    const { manifest, parts } = packMillionFiles();
    const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
    try {
      await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
      for (const [number, part] of parts.entries()) {
        await writeFile(join(folder, `part-${number}`), new Uint8Array(part));
      }
      const rows: Cell[][] = [];
      const targets: Target[] = [];
      const preparation: Record<"compile" | "open", number[]> = { compile: [], open: [] };
      for (const files of SIZES) {
        const request = JSON.stringify({ resources: createApp(files, MILLION) });
        await writeFile(join(folder, "request.json"), request);
        const body = new TextEncoder().encode(request);
        await writeFile(
          join(folder, "response.json"),
          await matchBytes(body, openCache({ manifest, parts })),
        );
        const times: { pipeline: number[]; json: number[] } = { pipeline: [], json: [] };
        for (let process = 0; process < PROCESSES; process++) {
          const call = await runProcess("pipeline", folder);
          preparation.compile.push(call.compile);
          preparation.open.push(call.open);
          times.pipeline.push(call.request);
          times.json.push((await runProcess("json", folder)).request);
        }
        const ratio = rangeOf(times.pipeline.map((ms, process) => ms / (times.json[process] as number)));
        rows.push([
          files,
          formatRange(rangeOf(times.pipeline)),
          formatRange(rangeOf(times.json)),
          formatRange(ratio),
        ]);
        const atMost = RATIO_MAX[files];
        if (atMost !== undefined) {
          const what = `request bytes to response bytes against JSON alone, ${files} resources, cold`;
          targets.push({ what, measured: ratio.max, atMost, unit: "x" });
        }
      }
      return {
        tables: [
          {
            title: "From request bytes to response bytes, cold: the first request of a process",
            columns: ["resources", "pipeline ms", "JSON alone ms", "ratio"],
            rows,
            note: `Medians and ranges of ${PROCESSES} processes each, in turn. The module is compiled, and a look-up of one content has opened the snapshot of 10^6.`,
          },
          {
            title: "Before the first request of a process",
            columns: ["", "ms"],
            rows: [
              ["compile the module", formatRange(rangeOf(preparation.compile))],
              ["open manifest and snapshot", formatRange(rangeOf(preparation.open))],
            ],
            note:
              "Medians and ranges of all these processes. KV takes no time. The 8 MB of the snapshot are written to memory that " +
              "was never used before, for which the kernel allocates 2,000 pages.",
          },
        ],
        targets,
      };
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

async function runProcess(way: "pipeline" | "json", folder: string): Promise<ColdCall> {
  const { stdout } = await execute(process.execPath, ["--import", REGISTER, COLD_CALL, way, folder]);
  return JSON.parse(stdout);
}
