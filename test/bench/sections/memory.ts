import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { SNAPSHOT_ENTRIES_MAX } from "../../../src/cache/manifest.ts";
import { BODY_MAX_BYTES, NON_CANONICAL_MAX_BYTES } from "../../../src/platform-limits.ts";
import { formatRange, type Range, rangeOf } from "../support/measure.ts";
import type { MemoryCall } from "../support/memory-call.ts";
import { packFiles } from "../support/pool.ts";
import { createApp, type SentResource } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";
import { createShape, SHAPES } from "./large-bodies.ts";

const RUNS = 3;
const RESOURCES = 5_000;
/** Of the 128 MB of an isolate. */
const SUM_MAX_MB = 110;
const MB = 1e6;
const CALL = fileURLToPath(new URL("../support/memory-call.ts", import.meta.url));
const REGISTER = new URL("../register.ts", import.meta.url).href;

/** Measures how much memory the largest snapshot and a request take together. */
export const memory: Section = {
  name: "memory",
  async run(): Promise<Findings> {
    const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
    try {
      const { manifest, parts } = packFiles(SNAPSHOT_ENTRIES_MAX);
      await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
      for (const [number, part] of parts.entries()) {
        await writeFile(join(folder, `part-${number}`), new Uint8Array(part));
      }
      const snapshots: number[] = [];
      const found: { shape: string; bytes: number; mb: Range }[] = [];
      for (const [shape, body] of bodies()) {
        await writeFile(join(folder, "body"), body);
        const sums: number[] = [];
        for (let run = 0; run < RUNS; run++) {
          const { snapshot, request } = await runProcess(folder);
          snapshots.push(snapshot / MB);
          sums.push(request / MB);
        }
        found.push({ shape, bytes: body.length, mb: rangeOf(sums) });
      }
      return {
        tables: [
          {
            title: "Memory of a snapshot of 6 x 10^6 and one request together",
            columns: ["body", "bytes", "MB"],
            rows: [
              ["none", 0, formatRange(rangeOf(snapshots))],
              ...found.map(({ shape, bytes, mb }) => [shape, bytes, formatRange(mb)]),
            ],
            note:
              `Medians and ranges of ${RUNS} processes each: the peak of the resident memory of Node.js, minus that with the code alone. ` +
              "The parts of the snapshot are read from files.",
          },
        ],
        targets: [
          {
            what: "largest snapshot and worst body together",
            measured: Math.max(...found.map(({ mb }) => mb.max)),
            atMost: SUM_MAX_MB,
            unit: " MB",
          },
        ],
      };
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

function* bodies(): Generator<[string, Buffer]> {
  const app = createApp(RESOURCES, SNAPSHOT_ENTRIES_MAX, { presentShare: 1 });
  const withPaths = (character: string, bytes: number, more: object = {}) => {
    const [length] = [Math.floor((bytes - 200 * RESOURCES) / RESOURCES / character.length)];
    const longer = app.map((each): SentResource => ({ ...each, path: character.repeat(length) }));
    return Buffer.from(JSON.stringify({ resources: longer.map((each) => ({ ...each, ...more })) }));
  };
  yield ["5,000 resources, all matched", Buffer.from(JSON.stringify({ resources: app }))];
  yield ["15 MiB, long paths, all matched", withPaths("a", BODY_MAX_BYTES)];
  yield ["15 MiB, paths beyond ASCII, all matched", withPaths("ü", BODY_MAX_BYTES / 2)];
  yield ["4 MiB, not canonical, all matched", withPaths("a", NON_CANONICAL_MAX_BYTES, { x: 0 })];
  for (const shape of Object.keys(SHAPES)) {
    for (const maxBytes of [NON_CANONICAL_MAX_BYTES, BODY_MAX_BYTES]) {
      yield [shape, Buffer.from(createShape(shape, maxBytes))];
    }
  }
}

async function runProcess(folder: string): Promise<MemoryCall> {
  const parameters = ["--expose-gc", "--import", REGISTER, CALL, folder];
  // Makes the allocator return what was freed, so that it does not count.
  const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: "131072" };
  const { stdout } = await promisify(execFile)(process.execPath, parameters, { env });
  return JSON.parse(stdout);
}
