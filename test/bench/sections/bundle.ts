import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Findings, Section } from "../support/section.ts";
import { builtWorker, wrangler } from "../support/worker-process.ts";

const GZIPPED_MAX_KB = 60;

/** What is deployed, and how long an isolate takes to start with it. */
export const bundle: Section = {
  name: "bundle",
  async run(): Promise<Findings> {
    const script = Buffer.from(await builtWorker());
    const gzipped = gzipSync(script, { level: 9 }).byteLength;
    return {
      tables: [
        {
          title: "The bundle",
          columns: ["bytes", "bytes gzipped", "start-up: CPU ms"],
          rows: [[script.byteLength, gzipped, await startUp()]],
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
