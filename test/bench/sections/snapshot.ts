import { scan } from "../../../src/bytes/requests.ts";
import { SnapshotMemory } from "../../../src/bytes/snapshot-memory.ts";
import { Contents, PRESENT } from "../../../src/cache/contents.ts";
import { partName } from "../../../src/cache/manifest.ts";
import { unpack } from "../../../src/cache/packed-value.ts";
import {
  formatRange,
  measureInterleaved,
  measureMs,
  median,
  type Range,
  rangeOf,
  round,
} from "../support/measure.ts";
import { MILLION, packFiles, type StoredSnapshot } from "../support/pool.ts";
import { createApp } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const SIZES = [10_000, 100_000, MILLION, 4 * MILLION];
const FILES = 5_000;
const RUNS = 5;
const ROUNDS = 30;
const APPS = 20;
const LOOK_UP_MAX_MS = 0.7;
const ENTRY_MAX_BYTES = 8.1;
/** 1.4 for each factor of ten, from 10^5 to 4 x 10^6 entries. The largest snapshot does not fit into the CPU caches. */
const GROWTH_MAX = 1.4 ** Math.log10(40);

const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };

interface Figures {
  entries: number;
  bytes: number;
  /** Milliseconds of each run. */
  opening: number[];
  hashing: number[];
  lookingUp: number[];
}

/** Measures memory and time of a snapshot in an isolate, by the size of the pool. */
export const snapshot: Section = {
  name: "snapshot",
  async run(): Promise<Findings> {
    const pools = SIZES.map(prepare);
    // All sizes in each run, so that other load of the machine affects them equally.
    for (let run = 0; run < RUNS; run++) for (const pool of pools) await measure(pool);
    const all = pools.map(({ figures }) => figures);
    const of = (size: number) => all.find(({ entries }) => entries === size) as Figures;
    const totals = ({ hashing, lookingUp }: Figures) =>
      hashing.map((ms, run) => ms + (lookingUp[run] as number));
    const toTotalRange = (figures: Figures): Range => rangeOf(totals(figures));
    const small = totals(of(100_000));
    const growth = rangeOf(totals(of(4 * MILLION)).map((ms, run) => ms / (small[run] as number)));
    return {
      tables: [
        {
          title: `The snapshot in an isolate, and ${FILES.toLocaleString("en")} look-ups in it`,
          columns: [
            "entries",
            "bytes",
            "bytes per entry",
            "open ms",
            "hash ms",
            "look up ms",
            "hash and look up ms",
          ],
          rows: all.map((each) => [
            each.entries,
            each.bytes,
            (each.bytes / each.entries).toFixed(3),
            ...[each.opening, each.hashing, each.lookingUp, totals(each)].map((ms) =>
              formatRange(rangeOf(ms)),
            ),
          ]),
          note:
            `Bytes: the memory of the snapshot. Open: from the bytes of its parts. Medians and ranges of ${RUNS} runs of ${ROUNDS} requests ` +
            "that were just parsed. 90 % of their files are present. SHA-1s and sizes are hashed by SipHash-2-4 and looked up.",
        },
      ],
      targets: [
        {
          what: "bytes of memory per entry, snapshot of 10^6",
          measured: of(MILLION).bytes / MILLION,
          atMost: ENTRY_MAX_BYTES,
          unit: "",
        },
        {
          what: "5,000 look-ups at 10^6 entries",
          measured: toTotalRange(of(MILLION)).max,
          atMost: LOOK_UP_MAX_MS,
          unit: " ms",
        },
        {
          what: "growth of a look-up from 10^5 to 4 x 10^6 entries",
          measured: growth.max,
          atMost: round(GROWTH_MAX),
          unit: "x",
        },
      ],
      charts: [
        {
          name: "snapshot",
          title: "5,000 look-ups in the snapshot, by number of entries",
          unit: "ms",
          series: ["look-ups"],
          groups: all.map((each) => ({
            label: each.entries.toLocaleString("en"),
            values: [round(toTotalRange(each).median)],
          })),
          target: LOOK_UP_MAX_MS,
        },
      ],
    };
  },
};

interface PreparedPool {
  pool: SnapshotMemory;
  stored: StoredSnapshot;
  /** Keys of parsed requests. */
  scans: Uint8Array<ArrayBuffer>[];
  figures: Figures;
}

function prepare(entries: number): PreparedPool {
  const stored = packFiles(entries);
  const scans = Array.from({ length: APPS }, (_, round) => {
    const resources = createApp(FILES, entries, { round });
    return scan(new TextEncoder().encode(JSON.stringify({ resources })), RULES)?.keys ?? new Uint8Array();
  });
  const pool = new SnapshotMemory();
  open(pool, stored);
  return {
    pool,
    stored,
    scans,
    figures: { entries, bytes: pool.size, opening: [], hashing: [], lookingUp: [] },
  };
}

/** Measures one run. */
async function measure({ pool, stored, scans, figures }: PreparedPool): Promise<void> {
  const { secret } = stored.manifest;
  const times: Record<"hashing" | "lookingUp", number[]> = { hashing: [], lookingUp: [] };
  const { opening } = await measureInterleaved(ROUNDS, {
    async opening() {
      open(pool, stored);
    },
    async lookingUp(round) {
      const contents = new Contents(scans[round % APPS] as Uint8Array<ArrayBuffer>);
      times.hashing.push(await measureMs(() => void contents.entries(secret)));
      const [entries, marks] = [contents.entries(secret), new Uint8Array(contents.count)];
      times.lookingUp.push(await measureMs(() => pool.mark(entries, marks, PRESENT)));
    },
  });
  figures.opening.push(median(opening));
  figures.hashing.push(median(times.hashing));
  figures.lookingUp.push(median(times.lookingUp));
}

function open(pool: SnapshotMemory, { manifest: { snapshot }, parts }: StoredSnapshot): void {
  pool.begin(snapshot?.entries ?? 0);
  let place = 0;
  for (const [number, part] of parts.entries()) {
    const { added: present } = unpack(part, partName(snapshot?.id ?? "", number));
    pool.put(present, place);
    place += present.length;
  }
  pool.finish();
}
