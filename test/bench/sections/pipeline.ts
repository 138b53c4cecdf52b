import { interleaved, median, type Range, rangeOf, rangeText, rounded } from "../support/measure.ts";
import { jsonAlone, matchBytes } from "../support/pipeline.ts";
import { MILLION, millionFiles, openCache } from "../support/pool.ts";
import { app, STOCK_MINIMUM_BYTES, STOCK_SMALL_SHARE } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";

const SIZES = [1, 100, 1_000, 5_000];
const RUNS = 5;
const ROUNDS = 80;
/** Different apps, so that a round does not find the last one's entries still at hand. */
const APPS = 16;
const RATIO_MAX = 0.4;

interface Figures {
  files: number;
  minimumSize: number;
  bytes: number;
  ours: Range;
  json: Range;
  ratio: Range;
}

/** The work between a request's bytes and its answer's, against what JSON takes alone. */
export const pipeline: Section = {
  name: "pipeline",
  async run(): Promise<Findings> {
    const all: Figures[] = [];
    for (const files of SIZES) all.push(await figures(files, 0));
    const largest = all.at(-1) as Figures;
    const stock = await figures(5_000, STOCK_MINIMUM_BYTES);
    return {
      tables: [
        {
          title: "From request bytes to answer bytes, in one process, warm",
          columns: ["resources", "bytes", "pipeline ms", "JSON alone ms", "ratio"],
          rows: [...all, stock].map((each): Cell[] => [
            each.minimumSize > 0 ? `${each.files}, MINIMUM_SIZE ${each.minimumSize}` : each.files,
            each.bytes,
            rangeText(each.ours),
            rangeText(each.json),
            rangeText(each.ratio),
          ]),
          note:
            `Medians of ${RUNS} runs of ${ROUNDS} rounds each, and their range. 90 % are present by a snapshot of 10^6, the ` +
            "others asked of a KV that takes no time. JSON alone is the bytes decoded, JSON.parse, JSON.stringify of the " +
            "answer, and encoding it. The last row is a push as a stock foundation has it: nine of ten files are smaller than its limit, and never match.",
        },
      ],
      targets: [
        {
          what: "bytes to bytes against JSON alone, 5,000 resources, warm",
          measured: largest.ratio.most,
          atMost: RATIO_MAX,
          unit: "x",
        },
      ],
      charts: [
        {
          name: "pipeline",
          title: "From request bytes to answer bytes, by resources of a request",
          unit: "µs a resource",
          series: ["pipeline", "JSON alone"],
          // A single resource is all overhead, and would dwarf the others.
          groups: all
            .filter(({ files }) => files > 1)
            .map(({ files, ours, json }) => ({
              label: files.toLocaleString("en"),
              values: [ours, json].map(({ median: ms }) => rounded((ms * 1000) / files)),
            })),
        },
      ],
    };
  },
};

async function figures(files: number, minimumSize: number): Promise<Figures> {
  const cache = openCache(millionFiles());
  const smallShare = minimumSize > 0 ? STOCK_SMALL_SHARE : 0;
  const bodies = Array.from({ length: APPS }, (_, round) =>
    new TextEncoder().encode(JSON.stringify({ resources: app(files, MILLION, { round, smallShare }) })),
  );
  const body = (round: number) => bodies[round % APPS] as Uint8Array;
  const answers = await Promise.all(bodies.map((each) => matchBytes(each, cache, { minimumSize })));
  const parsed: unknown[] = answers.map((answer) => JSON.parse(new TextDecoder().decode(answer)));
  const runs: Record<"ours" | "json" | "ratio", number[]> = { ours: [], json: [], ratio: [] };
  for (let run = 0; run < RUNS; run++) {
    const times = await interleaved(ROUNDS, {
      pipeline: (round) => matchBytes(body(round), cache, { minimumSize }),
      json: (round) => jsonAlone(body(round), parsed[round % APPS]),
    });
    const [ours, json] = [median(times.pipeline), median(times.json)];
    runs.ours.push(ours);
    runs.json.push(json);
    runs.ratio.push(ours / json);
  }
  return {
    files,
    minimumSize,
    bytes: body(0).length,
    ours: rangeOf(runs.ours),
    json: rangeOf(runs.json),
    ratio: rangeOf(runs.ratio),
  };
}
