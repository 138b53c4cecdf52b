import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { rangeOf, rangeText } from "../support/measure.ts";
import type { Findings, Section } from "../support/section.ts";
import { builtWorker, wrangler } from "../support/worker-process.ts";

const GZIPPED_MAX_KB = 40;
const RUNS = 5;
const START_UP_MAX_MS = 9;
/** A Worker that is nothing, with the Durable Objects that wrangler.toml names: what the runtime itself takes. */
const EMPTY = `
  import { DurableObject } from "cloudflare:workers";
  export class Catalog extends DurableObject {}
  export class PushSessions extends DurableObject {}
  export default { fetch: () => new Response() };
`;

/** What is deployed, and how long an isolate takes to start with it. */
export const bundle: Section = {
  name: "bundle",
  async run(): Promise<Findings> {
    const { script, wasm } = await builtWorker();
    const sizeOf = (files: (string | Uint8Array)[]) =>
      files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).byteLength, 0);
    const gzipped = sizeOf([script, wasm.bytes]);
    const { worker, empty } = await startUps();
    const beyond = rangeOf(worker.map((ms, run) => ms - (empty[run] as number)));
    return {
      tables: [
        {
          title: "The bundle",
          columns: ["bytes", "of them WebAssembly", "bytes gzipped"],
          rows: [[Buffer.byteLength(script) + wasm.bytes.length, wasm.bytes.length, gzipped]],
        },
        {
          title: "Start-up of an isolate",
          columns: ["", "active ms"],
          rows: [
            ["Worker", rangeText(rangeOf(worker))],
            ["a Worker that is empty", rangeText(rangeOf(empty))],
            ["the difference", rangeText(beyond)],
          ],
          note: `As \`wrangler check startup\` has it on this machine, ${RUNS} times each, in turn.`,
        },
      ],
      targets: [
        { what: "bundle gzipped", measured: gzipped / 1000, atMost: GZIPPED_MAX_KB, unit: " KB" },
        {
          what: "start-up, active beyond an empty Worker",
          measured: beyond.most,
          atMost: START_UP_MAX_MS,
          unit: " ms",
        },
      ],
    };
  },
};

/** Milliseconds of each run. */
async function startUps(): Promise<Record<"worker" | "empty", number[]>> {
  const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
  try {
    const main = join(folder, "empty.js");
    await writeFile(main, EMPTY);
    // In a folder of its own: this command looks for its configuration nowhere else.
    await writeFile(
      join(folder, "wrangler.toml"),
      `name = "empty"\nmain = "empty.js"\ncompatibility_date = "2026-10-01"\n`,
    );
    const all: Record<"worker" | "empty", number[]> = { worker: [], empty: [] };
    const outfile = ["--outfile", join(folder, "startup.cpuprofile")];
    for (let run = 0; run < RUNS; run++) {
      all.worker.push(activeMs(await wrangler(["check", "startup", ...outfile])));
      all.empty.push(activeMs(await wrangler(["check", "startup", ...outfile], folder)));
    }
    return all;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function activeMs(report: string): number {
  const [, ms] = /Active: ([\d.]+) ms/.exec(report) ?? [];
  if (ms === undefined) throw new Error(`no active time in: ${report}`);
  return Number(ms);
}
