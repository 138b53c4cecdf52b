import { formatRange, measureInterleaved, median, type Range, rangeOf, round } from "../support/measure.ts";
import { jsonAlone, matchBytes } from "../support/pipeline.ts";
import { MILLION, openCache, packMillionFiles } from "../support/pool.ts";
import { createApp, STOCK_MINIMUM_BYTES, STOCK_SMALL_SHARE } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";

const SIZES = [1, 100, 1_000, 5_000];
const RUNS = 5;
const ROUNDS = 80;
/** Different apps, so that a round does not find the entries of the previous one in the CPU cache. */
const APPS = 16;
const RATIO_MAX = 0.4;

interface Figures {
  files: number;
  minimumSize: number;
  bytes: number;
  pipeline: Range;
  json: Range;
  ratio: Range;
}

/** Measures the conversion of request bytes to response bytes, and compares it with JSON alone. */
export const pipeline: Section = {
  name: "pipeline",
  async run(): Promise<Findings> {
    const all: Figures[] = [];
    for (const files of SIZES) all.push(await measure(files, 0));
    const largest = all.at(-1) as Figures;
    const stock = await measure(5_000, STOCK_MINIMUM_BYTES);
    return {
      tables: [
        {
          title: "From request bytes to response bytes, warm",
          columns: ["resources", "bytes", "pipeline ms", "JSON alone ms", "ratio"],
          rows: [...all, stock].map((each): Cell[] => [
            each.minimumSize > 0 ? `${each.files}, MINIMUM_SIZE ${each.minimumSize}` : each.files,
            each.bytes,
            formatRange(each.pipeline),
            formatRange(each.json),
            formatRange(each.ratio),
          ]),
          note:
            `Medians and ranges of ${RUNS} runs of ${ROUNDS} rounds each, in one process. 90 % of the files are in a snapshot of 10^6, ` +
            "the others are looked up in a KV that takes no time. JSON alone decodes and parses the request, stringifies the " +
            "response and encodes it. The last row is a push to a stock foundation: nine of ten files are smaller than its minimum " +
            "size, and never match.",
        },
      ],
      targets: [
        {
          what: "request bytes to response bytes against JSON alone, 5,000 resources, warm",
          measured: largest.ratio.max,
          atMost: RATIO_MAX,
          unit: "x",
        },
      ],
      charts: [
        {
          name: "pipeline",
          title: "From request bytes to response bytes, by resources of a request",
          unit: "µs per resource",
          series: ["pipeline", "JSON alone"],
          // The overhead of a request with one resource would dwarf the other bars.
          groups: all
            .filter(({ files }) => files > 1)
            .map(({ files, pipeline, json }) => ({
              label: files.toLocaleString("en"),
              values: [pipeline, json].map(({ median: ms }) => round((ms * 1000) / files)),
            })),
        },
      ],
    };
  },
};

async function measure(files: number, minimumSize: number): Promise<Figures> {
  const cache = openCache(packMillionFiles());
  const smallShare = minimumSize > 0 ? STOCK_SMALL_SHARE : 0;
  const bodies = Array.from({ length: APPS }, (_, round) =>
    new TextEncoder().encode(JSON.stringify({ resources: createApp(files, MILLION, { round, smallShare }) })),
  );
  const body = (round: number) => bodies[round % APPS] as Uint8Array;
  const responses = await Promise.all(bodies.map((each) => matchBytes(each, cache, { minimumSize })));
  const parsed: unknown[] = responses.map((response) => JSON.parse(new TextDecoder().decode(response)));
  const runs: Record<"pipeline" | "json" | "ratio", number[]> = { pipeline: [], json: [], ratio: [] };
  for (let run = 0; run < RUNS; run++) {
    const times = await measureInterleaved(ROUNDS, {
      pipeline: (round) => matchBytes(body(round), cache, { minimumSize }),
      json: (round) => jsonAlone(body(round), parsed[round % APPS]),
    });
    const [pipelineMs, jsonMs] = [median(times.pipeline), median(times.json)];
    runs.pipeline.push(pipelineMs);
    runs.json.push(jsonMs);
    runs.ratio.push(pipelineMs / jsonMs);
  }
  return {
    files,
    minimumSize,
    bytes: body(0).length,
    pipeline: rangeOf(runs.pipeline),
    json: rangeOf(runs.json),
    ratio: rangeOf(runs.ratio),
  };
}
