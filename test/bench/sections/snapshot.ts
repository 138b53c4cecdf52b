import { scan } from "../../../src/bytes/requests.ts";
import { SnapshotMemory } from "../../../src/bytes/snapshot-memory.ts";
import { Contents, PRESENT } from "../../../src/cache/contents.ts";
import { partName } from "../../../src/cache/manifest.ts";
import { unpack } from "../../../src/cache/packed-value.ts";
import { interleaved, median, type Range, rangeOf, rangeText, rounded, timed } from "../support/measure.ts";
import { MILLION, packFiles, type StoredSnapshot } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const SIZES = [10_000, 100_000, MILLION, 4 * MILLION];
const FILES = 5_000;
const RUNS = 5;
const ROUNDS = 30;
const APPS = 20;
const LOOK_UP_MAX_MS = 0.7;
const ENTRY_MAX_BYTES = 8.1;
/** From 10^5 to 4 x 10^6 entries, of which the last are larger than the processor's caches: 1.4 a tenfold. */
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

/** What a snapshot takes of memory and of time in an isolate, and how that grows with the pool. */
export const snapshot: Section = {
  name: "snapshot",
  async run(): Promise<Findings> {
    const pools = SIZES.map(opened);
    // All sizes in each run: what else the machine does meets them alike.
    for (let run = 0; run < RUNS; run++) for (const pool of pools) await measure(pool);
    const all = pools.map(({ figures }) => figures);
    const of = (size: number) => all.find(({ entries }) => entries === size) as Figures;
    const totals = ({ hashing, lookingUp }: Figures) =>
      hashing.map((ms, run) => ms + (lookingUp[run] as number));
    const together = (figures: Figures): Range => rangeOf(totals(figures));
    const small = totals(of(100_000));
    const growth = rangeOf(totals(of(4 * MILLION)).map((ms, run) => ms / (small[run] as number)));
    return {
      tables: [
        {
          title: `The snapshot in an isolate, and ${FILES.toLocaleString("en")} resources looked up in it`,
          columns: [
            "entries",
            "bytes",
            "bytes an entry",
            "opened ms",
            "hashed ms",
            "looked up ms",
            "together ms",
          ],
          rows: all.map((each) => [
            each.entries,
            each.bytes,
            (each.bytes / each.entries).toFixed(3),
            ...[each.opening, each.hashing, each.lookingUp, totals(each)].map((ms) => rangeText(rangeOf(ms))),
          ]),
          note:
            `Bytes: of the memory that holds it. Opened: from the bytes of its parts. The others: medians of ${RUNS} runs of ${ROUNDS} requests just read and their range, 90 % of whose ` +
            "files are held; their SHA-1s and sizes are hashed by SipHash-2-4, and looked up.",
        },
      ],
      targets: [
        {
          what: "bytes of memory an entry, snapshot of 10^6",
          measured: of(MILLION).bytes / MILLION,
          atMost: ENTRY_MAX_BYTES,
          unit: "",
        },
        {
          what: "5,000 look-ups at 10^6 entries",
          measured: together(of(MILLION)).most,
          atMost: LOOK_UP_MAX_MS,
          unit: " ms",
        },
        {
          what: "growth of a look-up from 10^5 to 4 x 10^6 entries",
          measured: growth.most,
          atMost: rounded(GROWTH_MAX),
          unit: "x",
        },
      ],
      charts: [
        {
          name: "snapshot",
          title: "5,000 look-ups in the snapshot, by its entries",
          unit: "ms",
          series: ["look-ups"],
          groups: all.map((each) => ({
            label: each.entries.toLocaleString("en"),
            values: [rounded(together(each).median)],
          })),
          target: LOOK_UP_MAX_MS,
        },
      ],
    };
  },
};

interface Opened {
  pool: SnapshotMemory;
  stored: StoredSnapshot;
  /** Keys of apps. */
  scans: Uint8Array<ArrayBuffer>[];
  figures: Figures;
}

function opened(entries: number): Opened {
  const stored = packFiles(entries);
  const scans = Array.from({ length: APPS }, (_, round) => {
    const resources = app(FILES, entries, { round });
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

/** One run. */
async function measure({ pool, stored, scans, figures }: Opened): Promise<void> {
  const { secret } = stored.manifest;
  const times: Record<"hashing" | "lookingUp", number[]> = { hashing: [], lookingUp: [] };
  const { opening } = await interleaved(ROUNDS, {
    async opening() {
      open(pool, stored);
    },
    async lookingUp(round) {
      const contents = new Contents(scans[round % APPS] as Uint8Array<ArrayBuffer>);
      times.hashing.push(await timed(() => void contents.entries(secret)));
      const [known, marks] = [contents.entries(secret), new Uint8Array(contents.count)];
      times.lookingUp.push(await timed(() => pool.mark(known, marks, PRESENT)));
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
