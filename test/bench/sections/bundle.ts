import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Findings, Section } from "../support/section.ts";
import { builtWorker, wrangler } from "../support/worker-process.ts";

const GZIPPED_MAX_KB = 40;

/** What is deployed, and how long an isolate takes to start with it. */
export const bundle: Section = {
  name: "bundle",
  async run(): Promise<Findings> {
    const { script, wasm } = await builtWorker();
    const sizeOf = (files: (string | Uint8Array)[]) =>
      files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).byteLength, 0);
    const gzipped = sizeOf([script, wasm.bytes]);
    return {
      tables: [
        {
          title: "The bundle",
          columns: ["bytes", "of them WebAssembly", "bytes gzipped", "start-up: active ms"],
          rows: [
            [Buffer.byteLength(script) + wasm.bytes.length, wasm.bytes.length, gzipped, await startUp()],
          ],
          note: "Start-up as `wrangler check startup` has it, active time on this machine.",
        },
      ],
      targets: [{ what: "bundle gzipped", measured: gzipped / 1000, atMost: GZIPPED_MAX_KB, unit: " KB" }],
    };
  },
};

async function startUp(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
  try {
    const report = await wrangler("check", "startup", "--outfile", join(folder, "startup.cpuprofile"));
    return /Active: ([\d.]+) ms/.exec(report)?.[1] ?? "not reported";
  } catch (error) {
    return `not measured: ${(error as Error).message.split("\n")[0]}`;
  } finally {
    await rm(folder, { recursive: true });
  }
}
