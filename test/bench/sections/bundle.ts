import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
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
  export class PushMemory extends DurableObject {}
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
    const cell = (startUps: StartUp[], which: keyof StartUp) => rangeOf(startUps.map((each) => each[which]));
    return {
      tables: [
        {
          title: "The bundle",
          columns: ["bytes", "of them WebAssembly", "bytes gzipped"],
          rows: [[Buffer.byteLength(script) + wasm.bytes.length, wasm.bytes.length, gzipped]],
        },
        {
          title: "Start-up of an isolate",
          columns: ["", "active ms", "of them in the Worker's own code"],
          rows: [
            ["Worker", rangeText(cell(worker, "active")), rangeText(cell(worker, "own"))],
            ["a Worker that is empty", rangeText(cell(empty, "active")), rangeText(cell(empty, "own"))],
          ],
          note:
            `From the profiles of \`wrangler check startup\`, ${RUNS} each, in turn, of a sample a millisecond. All else is the ` +
            "runtime's. The Worker's own includes making its WebAssembly's memory, and going through a request of one resource.",
        },
      ],
      targets: [
        { what: "bundle gzipped", measured: gzipped / 1000, atMost: GZIPPED_MAX_KB, unit: " KB" },
        {
          what: "start-up, CPU of the Worker's own code",
          measured: cell(worker, "own").most,
          atMost: START_UP_MAX_MS,
          unit: " ms",
        },
      ],
    };
  },
};

/** The bundle's, and not that of the shims that wrangler lays around it. */
const OWN = /\/(index|empty)\.js$/;

/** Of a start-up, ms that were not idle: in all, and of them in the Worker's own code and in what it called. */
interface StartUp {
  active: number;
  own: number;
}

async function startUps(): Promise<Record<"worker" | "empty", StartUp[]>> {
  const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
  try {
    const config = join(folder, "wrangler.toml");
    await writeFile(join(folder, "empty.js"), EMPTY);
    await writeFile(config, `name = "empty"\nmain = "empty.js"\ncompatibility_date = "2026-10-01"\n`);
    const outfile = join(folder, "startup.cpuprofile");
    const startUp = async (...options: string[]) => {
      await wrangler("check", "startup", "--outfile", outfile, ...options);
      return startUpOf(JSON.parse(await readFile(outfile, "utf8")));
    };
    const all: Record<"worker" | "empty", StartUp[]> = { worker: [], empty: [] };
    for (let run = 0; run < RUNS; run++) {
      all.worker.push(await startUp());
      all.empty.push(await startUp("--config", config));
    }
    return all;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** As V8 writes it: a tree of calls, and the microseconds between samples of where it stood. */
interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string }; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}

function startUpOf({ nodes, samples, timeDeltas }: CpuProfile): StartUp {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const isOwn = (id: number | undefined): boolean =>
    id !== undefined && (OWN.test(frames.get(id)?.url ?? "") || isOwn(parents.get(id)));
  const isIdle = (id: number) => frames.get(id)?.functionName === "(idle)";
  const msWhere = (isMeant: (id: number) => boolean) =>
    samples.reduce((sum, id, at) => sum + (isMeant(id) ? (timeDeltas[at] ?? 0) : 0), 0) / 1000;
  return { active: msWhere((id) => !isIdle(id)), own: msWhere(isOwn) };
}
