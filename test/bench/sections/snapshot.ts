import { PoolMemory } from "../../../src/bytes/pool-memory.ts";
import { scan } from "../../../src/bytes/requests.ts";
import { Contents, HELD } from "../../../src/cache/contents.ts";
import { unpack } from "../../../src/cache/packed-value.ts";
import { partName } from "../../../src/cache/pointer.ts";
import { interleaved, median, rounded, timed } from "../support/measure.ts";
import { MILLION, packFiles, type StoredSnapshot } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const SIZES = [10_000, 100_000, MILLION, 4 * MILLION];
const FILES = 5_000;
const ROUNDS = 100;
const APPS = 20;
const LOOK_UP_MAX_MS = 0.7;
const ENTRY_MAX_BYTES = 8.1;

const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };

interface Figures {
  entries: number;
  bytes: number;
  /** Milliseconds. */
  opening: number;
  hashing: number;
  lookingUp: number;
}

/** What a snapshot takes of memory and of time in an isolate, and how that grows with the pool. */
export const snapshot: Section = {
  name: "snapshot",
  async run(): Promise<Findings> {
    const all: Figures[] = [];
    for (const entries of SIZES) all.push(await figures(entries));
    const million = all.find(({ entries }) => entries === MILLION) as Figures;
    const total = ({ hashing, lookingUp }: Figures) => hashing + lookingUp;
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
            ...[each.opening, each.hashing, each.lookingUp, total(each)].map(rounded),
          ]),
          note:
            `Bytes: of the memory that holds it. Opened: from the bytes of its parts. The others: medians of ${ROUNDS} requests just parsed, 90 % of whose ` +
            "files are held; their SHA-1s and sizes are hashed by SipHash-2-4, and looked up.",
        },
      ],
      targets: [
        {
          what: "bytes of memory an entry, snapshot of 10^6",
          measured: million.bytes / MILLION,
          atMost: ENTRY_MAX_BYTES,
          unit: "",
        },
        {
          what: "5,000 look-ups at 10^6 entries",
          measured: total(million),
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
          groups: all.map((each) => ({
            label: each.entries.toLocaleString("en"),
            values: [rounded(total(each))],
          })),
          target: LOOK_UP_MAX_MS,
        },
      ],
    };
  },
};

async function figures(entries: number): Promise<Figures> {
  const stored = packFiles(entries);
  const { secret } = stored.pointer;
  const scans = Array.from({ length: APPS }, (_, round) => {
    const resources = app(FILES, entries, { round });
    return scan(new TextEncoder().encode(JSON.stringify({ resources })), RULES)?.keys ?? new Uint8Array();
  });
  const pool = new PoolMemory();
  open(pool, stored);
  const bytes = pool.size;
  const times: Record<"hashing" | "lookingUp", number[]> = { hashing: [], lookingUp: [] };
  const { opening } = await interleaved(ROUNDS, {
    async opening() {
      open(pool, stored);
    },
    async lookingUp(round) {
      const contents = new Contents(scans[round % APPS] as Uint8Array<ArrayBuffer>);
      times.hashing.push(await timed(() => void contents.entries(secret)));
      const [known, marks] = [contents.entries(secret), new Uint8Array(contents.count)];
      times.lookingUp.push(await timed(() => pool.mark(known, marks, HELD)));
    },
  });
  return {
    entries,
    bytes,
    opening: median(opening),
    hashing: median(times.hashing),
    lookingUp: median(times.lookingUp),
  };
}

function open(pool: PoolMemory, { pointer: { snapshot }, parts }: StoredSnapshot): void {
  pool.begin(snapshot?.entries ?? 0);
  let place = 0;
  for (const [number, part] of parts.entries()) {
    const { held } = unpack(part, partName(snapshot?.id ?? "", number));
    pool.put(held, place);
    place += held.length;
  }
  pool.finish();
}
