import { Contents, HELD } from "../../../src/cache/contents.ts";
import { EntryHash } from "../../../src/cache/entry-hash.ts";
import { EntrySet } from "../../../src/cache/entry-set.ts";
import { unpack } from "../../../src/cache/packed-value.ts";
import { partName } from "../../../src/cache/pointer.ts";
import { fromHex } from "../../../src/hex.ts";
import { interleaved, median, rounded, timed } from "../support/measure.ts";
import { MILLION, packFiles, type StoredSnapshot } from "../support/pool.ts";
import { app, type SentResource } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const SIZES = [10_000, 100_000, MILLION];
const FILES = 5_000;
const ROUNDS = 100;
const APPS = 20;
const LOOK_UP_MAX_MS = 1;
const MILLION_MAX_MB = 8.1;

interface Figures {
  entries: number;
  bytes: number;
  /** Milliseconds. */
  opening: number;
  reading: number;
  hashing: number;
  lookingUp: number;
}

/** What a snapshot takes of memory and of time in an isolate, and how that grows with the pool. */
export const snapshot: Section = {
  name: "snapshot",
  async run(): Promise<Findings> {
    const all: Figures[] = [];
    for (const entries of SIZES) all.push(await figures(entries));
    const largest = all.at(-1) as Figures;
    const total = ({ reading, hashing, lookingUp }: Figures) => reading + hashing + lookingUp;
    return {
      tables: [
        {
          title: `The snapshot in an isolate, and ${FILES.toLocaleString("en")} resources looked up in it`,
          columns: [
            "entries",
            "bytes",
            "bytes an entry",
            "opened ms",
            "SHA-1s read ms",
            "hashed ms",
            "looked up ms",
            "together ms",
          ],
          rows: all.map((each) => [
            each.entries,
            each.bytes,
            (each.bytes / each.entries).toFixed(3),
            ...[each.opening, each.reading, each.hashing, each.lookingUp, total(each)].map(rounded),
          ]),
          note:
            `Opened: from the bytes of its parts. The others: medians of ${ROUNDS} requests just parsed, 90 % of whose ` +
            "files are held; SHA-1s are read from hex, hashed by SipHash-2-4 with their sizes, and looked up.",
        },
      ],
      targets: [
        {
          what: "snapshot of 10^6 entries",
          measured: largest.bytes / 1e6,
          atMost: MILLION_MAX_MB,
          unit: " MB",
        },
        {
          what: "5,000 look-ups at 10^6 entries",
          measured: total(largest),
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
  const bytes = stored.parts.reduce((sum, part) => sum + part.byteLength, 0);
  const hash = new EntryHash(fromHex(stored.pointer.secret));
  const texts = Array.from({ length: APPS }, (_, round) => JSON.stringify(app(FILES, entries, { round })));
  const sets = open(stored);
  const times: Record<"reading" | "hashing" | "lookingUp", number[]> = {
    reading: [],
    hashing: [],
    lookingUp: [],
  };
  const { opening } = await interleaved(ROUNDS, {
    async opening() {
      open(stored);
    },
    async lookingUp(round) {
      const resources: SentResource[] = JSON.parse(texts[round % APPS] as string);
      let contents = new Contents([]);
      times.reading.push(
        await timed(() => {
          contents = new Contents(resources);
        }),
      );
      times.hashing.push(await timed(() => void contents.entries(hash)));
      const [known, marks] = [contents.entries(hash), new Uint8Array(contents.count)];
      times.lookingUp.push(await timed(() => sets.forEach((set) => void set.mark(known, marks, HELD))));
    },
  });
  return {
    entries,
    bytes,
    opening: median(opening),
    reading: median(times.reading),
    hashing: median(times.hashing),
    lookingUp: median(times.lookingUp),
  };
}

function open({ pointer: { snapshot }, parts }: StoredSnapshot): EntrySet[] {
  return parts.map((part, number) => new EntrySet(unpack(part, partName(snapshot?.id ?? "", number)).held));
}
