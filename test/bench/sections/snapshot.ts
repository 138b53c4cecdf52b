import { buildSnapshot } from "../../../src/resource-pool/snapshot/build.ts";
import { readPointer, snapshotNames } from "../../../src/resource-pool/snapshot/store.ts";
import { interleaved, median, rounded, timed } from "../support/measure.ts";
import { MemoryStore, MILLION, open, pack, poolSha1s, storedParts } from "../support/pool.ts";
import { app, type SentResource, sizeAt } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const SIZES = [10_000, 100_000, MILLION];
const FILES = 5_000;
const ROUNDS = 100;
const APPS = 20;
const LOOK_UP_MAX_MS = 1;
const ENTRY_MAX_BYTES = 12.1;

interface Figures {
  entries: number;
  /** Milliseconds. */
  packing: number;
  merging: number;
  opening: number;
  lookingUp: number;
  bytes: number;
}

/** What a snapshot costs to build, to hold and to ask, and how that grows with the pool. */
export const snapshot: Section = {
  name: "snapshot",
  async run(): Promise<Findings> {
    const all: Figures[] = [];
    for (const entries of SIZES) all.push(await figures(entries));
    const largest = all.at(-1) as Figures;
    return {
      tables: [
        {
          title: "The snapshot",
          columns: [
            "entries",
            "packed ms",
            "merged ms",
            "bytes",
            "bytes an entry",
            "opened ms",
            `${FILES} look-ups ms`,
          ],
          rows: all.map(({ entries, packing, merging, bytes, opening, lookingUp }) => [
            entries,
            ...[packing, merging].map(Math.round),
            bytes,
            (bytes / entries).toFixed(3),
            ...[opening, lookingUp].map(rounded),
          ]),
          note:
            "Packed: sorted and written from a list of files, as the operator's command does. Merged: from the " +
            "listing of their keys, as the scheduled handler does. Opened: from the bytes of its parts. " +
            `Look-ups: medians of ${ROUNDS} requests just parsed, 90 % of whose files are held.`,
        },
        {
          title: "How it grows, at ten times the entries",
          columns: ["entries", "packed", "merged", "bytes", `${FILES} look-ups`],
          rows: all.slice(1).map((next, index) => {
            const before = all[index] as Figures;
            const times = (figure: keyof Figures) => `${rounded(next[figure] / before[figure])}x`;
            return [next.entries, times("packing"), times("merging"), times("bytes"), times("lookingUp")];
          }),
        },
      ],
      targets: [
        {
          what: "bytes an entry, worst size",
          measured: Math.max(...all.map(({ bytes, entries }) => bytes / entries)),
          atMost: ENTRY_MAX_BYTES,
          unit: "",
        },
        {
          what: "5,000 look-ups at 10^6 entries",
          measured: largest.lookingUp,
          atMost: LOOK_UP_MAX_MS,
          unit: " ms",
        },
      ],
      charts: [
        {
          name: "snapshot",
          title: "5,000 look-ups in the snapshot, by its entries",
          unit: "ms",
          series: ["look-ups"],
          groups: all.map(({ entries, lookingUp }) => ({
            label: entries.toLocaleString("en"),
            values: [rounded(lookingUp)],
          })),
          target: LOOK_UP_MAX_MS,
        },
      ],
    };
  },
};

async function figures(entries: number): Promise<Figures> {
  const sha1s = poolSha1s(entries);
  const packing = await timed(() => pack(sha1s));
  const stored = await pack(sha1s);

  const keys = sha1s.map((sha1, index) => `${sha1}:${sizeAt(index)}`).sort();
  const store = new MemoryStore(keys);
  const merging = await timed(() =>
    buildSnapshot(store, { keyPrefix: "", now: Date.now(), listings: Number.POSITIVE_INFINITY }),
  );
  const pointer = await readPointer(store, snapshotNames("").current);
  const bytes = storedParts(store, pointer ?? stored.pointer).reduce((sum, part) => sum + part.byteLength, 0);

  const texts = Array.from({ length: APPS }, (_, round) => JSON.stringify(app(FILES, entries, { round })));
  const held = open(stored);
  const lookingUp: number[] = [];
  const { opening } = await interleaved(ROUNDS, {
    async opening() {
      open(stored);
    },
    async lookingUp(round) {
      const resources: SentResource[] = JSON.parse(texts[round % APPS] as string);
      lookingUp.push(await timed(() => held.hasEach(resources)));
    },
  });
  return { entries, packing, merging, opening: median(opening), lookingUp: median(lookingUp), bytes };
}
