import { interleaved, median, rounded } from "../support/measure.ts";
import { answerTo } from "../support/pipeline.ts";
import { MILLION, millionFiles, openCache } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";

const SIZES = [1, 100, 1_000, 5_000];
const ROUNDS = 300;
/** Different apps, so that a round does not find the last one's entries still at hand. */
const APPS = 16;
const RATIO_MAX = 1.6;

/** The work between a request's text and its answer's, against JSON.parse and JSON.stringify alone. */
export const pipeline: Section = {
  name: "pipeline",
  async run(): Promise<Findings> {
    const cache = openCache(millionFiles());
    const rows: Cell[][] = [];
    const groups: { label: string; values: number[] }[] = [];
    let ratio = Number.NaN;
    for (const files of SIZES) {
      const texts = Array.from({ length: APPS }, (_, round) =>
        JSON.stringify({ resources: app(files, MILLION, { round }) }),
      );
      const answers = await Promise.all(texts.map((text) => answerTo(text, cache)));
      const parsed: unknown[] = answers.map((answer) => JSON.parse(answer));
      const times = await interleaved(ROUNDS, {
        pipeline: (round) => answerTo(texts[round % APPS] as string, cache),
        json: (round) => JSON.parse(texts[round % APPS] as string) && JSON.stringify(parsed[round % APPS]),
      });
      const [ours, json] = [median(times.pipeline), median(times.json)];
      ratio = ours / json;
      const bytes = texts[0]?.length ?? 0;
      rows.push([files, bytes, rounded(ours), rounded(json), rounded(ratio)]);
      // A single resource is all overhead, and would dwarf the others.
      if (files > 1)
        groups.push({
          label: files.toLocaleString("en"),
          values: [ours, json].map((ms) => rounded((ms * 1000) / files)),
        });
    }
    return {
      tables: [
        {
          title: "From request text to answer text, in one process, warm",
          columns: ["resources", "bytes", "pipeline ms", "JSON alone ms", "ratio"],
          rows,
          note:
            `Medians of ${ROUNDS} rounds. 90 % are held by a snapshot of 10^6, the others asked of a KV that takes no ` +
            "time. JSON alone is JSON.parse of the same request and JSON.stringify of the same answer.",
        },
      ],
      targets: [
        {
          what: "pipeline against JSON alone, 5,000 resources",
          measured: ratio,
          atMost: RATIO_MAX,
          unit: "x",
        },
      ],
      charts: [
        {
          name: "pipeline",
          title: "From request text to answer text, by resources of a request",
          unit: "µs a resource",
          series: ["pipeline", "JSON alone"],
          groups,
        },
      ],
    };
  },
};
