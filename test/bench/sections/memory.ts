import { setTimeout as pause } from "node:timers/promises";
import { SNAPSHOT_ENTRIES_MAX } from "../../../src/cache/manifest.ts";
import { BODY_MAX_BYTES, NON_CANONICAL_MAX_BYTES } from "../../../src/platform-limits.ts";
import { peakOf, resetPeak } from "../../support/node/processes.ts";
import { Client } from "../support/client.ts";
import { formatRange, type Range, rangeOf } from "../support/measure.ts";
import { packFiles, type StoredSnapshot } from "../support/pool.ts";
import { createApp, type SentResource } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";
import { startUaa, type Uaa } from "../support/uaa.ts";
import { putSnapshot, startWorker } from "../support/worker-process.ts";
import { createShape, SHAPES } from "./large-bodies.ts";

const RUNS = 3;
const RESOURCES = 5_000;
/** Of the 128 MB of an isolate. */
const SUM_MAX_MB = 110;
const SETTLE_MS = 1_500;
const SMALL_REQUESTS = 20;

const MB = 1e6;

/** Measures how much memory a request takes at most, in an isolate that has the largest snapshot. */
export const memory: Section = {
  name: "memory",
  async run(): Promise<Findings> {
    const stored = packFiles(SNAPSHOT_ENTRIES_MAX);
    const snapshotMb = stored.parts.reduce((sum, part) => sum + part.byteLength, 0) / MB;
    const uaa = await startUaa();
    try {
      const found: { shape: string; bytes: number; mb: Range }[] = [];
      for (const [shape, body] of bodies()) {
        const growths: number[] = [];
        for (let run = 0; run < RUNS; run++) growths.push(await measureGrowthMb(stored, body, uaa));
        found.push({ shape, bytes: body.length, mb: rangeOf(growths) });
      }
      const worst = Math.max(...found.map(({ mb }) => mb.max));
      return {
        tables: [
          {
            title: "Memory that one request takes, in an isolate with a snapshot of 6 x 10^6",
            columns: ["body", "bytes", "MB"],
            rows: found.map(({ shape, bytes, mb }) => [shape, bytes, formatRange(mb)]),
            note:
              `Medians and ranges of ${RUNS} processes each: the peak of workerd's resident memory during the request, minus the memory ` +
              `before it. The snapshot takes ${Math.round(snapshotMb)} MB.`,
          },
        ],
        targets: [
          {
            what: "largest snapshot and worst body together",
            measured: snapshotMb + worst,
            atMost: SUM_MAX_MB,
            unit: " MB",
          },
        ],
      };
    } finally {
      uaa.stop();
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

/** In a process of its own, because an isolate does not return all memory. */
async function measureGrowthMb(stored: StoredSnapshot, body: Buffer, uaa: Uaa): Promise<number> {
  const worker = await startWorker("index", uaa.url);
  try {
    await putSnapshot(worker, stored);
    const client = new Client(new URL("/v3/resource_matches", worker.url), {
      Authorization: `Bearer ${await uaa.issueToken("developer")}`,
    });
    const small = Buffer.from(JSON.stringify({ resources: createApp(1, SNAPSHOT_ENTRIES_MAX) }));
    await client.post(small);
    await pause(SETTLE_MS);
    for (let request = 0; request < SMALL_REQUESTS; request++) await client.post(small);
    await pause(SETTLE_MS);
    const before = worker.usage().bytes;
    resetPeak(worker.pid);
    // The body may be refused.
    await client.post(body).catch(() => {});
    const growth = peakOf(worker.pid) - before;
    client.close();
    return growth / MB;
  } finally {
    await worker.stop();
  }
}
