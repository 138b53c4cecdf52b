import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { formatRange, rangeOf } from "../support/measure.ts";
import type { Findings, Section } from "../support/section.ts";
import { buildWorker, runWrangler } from "../support/worker-process.ts";

const GZIPPED_MAX_KB = 40;
const RUNS = 5;
const START_UP_MAX_MS = 9;
/** An empty Worker with the Durable Objects of wrangler.toml, to measure the runtime itself. */
const EMPTY = `
  import { DurableObject } from "cloudflare:workers";
  export class Catalog extends DurableObject {}
  export class PushSessions extends DurableObject {}
  export default { fetch: () => new Response() };
`;

/** Measures the size of the deployed bundle, and the start-up time of an isolate with it. */
export const bundle: Section = {
  name: "bundle",
  async run(): Promise<Findings> {
    const { script, wasm } = await buildWorker();
    const sizeOf = (files: (string | Uint8Array)[]) =>
      files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).byteLength, 0);
    const gzipped = sizeOf([script, wasm.bytes]);
    const { worker, empty } = await measureStartUps();
    const difference = rangeOf(worker.map((ms, run) => ms - (empty[run] as number)));
    return {
      tables: [
        {
          title: "The bundle",
          columns: ["bytes", "WebAssembly bytes", "gzipped bytes"],
          rows: [[Buffer.byteLength(script) + wasm.bytes.length, wasm.bytes.length, gzipped]],
        },
        {
          title: "Start-up of an isolate",
          columns: ["", "active ms"],
          rows: [
            ["Worker", formatRange(rangeOf(worker))],
            ["empty Worker", formatRange(rangeOf(empty))],
            ["difference", formatRange(difference)],
          ],
          note: `Medians and ranges of ${RUNS} runs of \`wrangler check startup\` each, in turn, on this machine.`,
        },
      ],
      targets: [
        { what: "bundle, gzipped", measured: gzipped / 1000, atMost: GZIPPED_MAX_KB, unit: " KB" },
        {
          what: "start-up, active time minus that of an empty Worker",
          measured: difference.max,
          atMost: START_UP_MAX_MS,
          unit: " ms",
        },
      ],
    };
  },
};

/** Milliseconds of each run. */
async function measureStartUps(): Promise<Record<"worker" | "empty", number[]>> {
  const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
  try {
    const main = join(folder, "empty.js");
    await writeFile(main, EMPTY);
    // In its own folder, because this command reads only the wrangler.toml of its working directory.
    await writeFile(
      join(folder, "wrangler.toml"),
      `name = "empty"\nmain = "empty.js"\ncompatibility_date = "2026-10-01"\n`,
    );
    const times: Record<"worker" | "empty", number[]> = { worker: [], empty: [] };
    const outfile = ["--outfile", join(folder, "startup.cpuprofile")];
    for (let run = 0; run < RUNS; run++) {
      times.worker.push(parseActiveMs(await runWrangler(["check", "startup", ...outfile])));
      times.empty.push(parseActiveMs(await runWrangler(["check", "startup", ...outfile], folder)));
    }
    return times;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function parseActiveMs(report: string): number {
  const [, ms] = /Active: ([\d.]+) ms/.exec(report) ?? [];
  if (ms === undefined) throw new Error(`no active time in: ${report}`);
  return Number(ms);
}
