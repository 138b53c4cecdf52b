import { Failure } from "../../../src/failure.ts";
import { parseMatchRequest } from "../../../src/resource-match/match-request.ts";
import { interleaved, median, rangeOf, rangeText } from "../support/measure.ts";
import { jsonAlone, matchBytes } from "../support/pipeline.ts";
import { MILLION, millionFiles, openCache } from "../support/pool.ts";
import { app, type SentResource } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const FILES = 5_000;
const RUNS = 5;
const ROUNDS = 10;
const RATIO_MAX = 10;
const JSON_ALONE = "JSON alone, of the good ones";

/** Requests that the usual way through the checks is not made for. */
const KINDS: Record<string, (resource: SentResource) => unknown> = {
  "no objects": () => 1,
  "every member wrong": () => ({ path: 1, mode: "999", checksum: { value: "x" }, size_in_bytes: -1 }),
  "no members": () => ({}),
  "checksum too short": (resource) => ({
    ...resource,
    checksum: { value: resource.checksum.value.slice(1) },
  }),
  "valid, path and mode null": (resource) => ({ ...resource, path: null, mode: null }),
  "valid, checksum no hex": (resource) => ({ ...resource, checksum: { value: "ü".repeat(40) } }),
};

/** 5,000 wrong resources must not cost much more than 5,000 good ones: nobody may slow the Worker down with them. */
export const wrong: Section = {
  name: "wrong",
  async run(): Promise<Findings> {
    const cache = openCache(millionFiles());
    const good = app(FILES, MILLION);
    const text = (resources: unknown[]) => new TextEncoder().encode(JSON.stringify({ resources }));
    const texts = Object.entries(KINDS).map(([kind, spoil]) => [kind, text(good.map(spoil))] as const);
    const usual = text(good);
    const echoed = { resources: good };
    const ways: Record<string, () => unknown> = {
      [JSON_ALONE]: () => jsonAlone(usual, echoed),
      good: () => matchBytes(usual, cache),
      ...Object.fromEntries(texts.map(([kind, body]) => [kind, () => outcome(body)])),
    };
    const runs: Record<string, number>[] = [];
    for (let run = 0; run < RUNS; run++) {
      const times = Object.entries(await interleaved(ROUNDS, ways));
      runs.push(Object.fromEntries(times.map(([kind, values]) => [kind, median(values)])));
    }
    const all = Object.keys(ways).map((kind) => {
      const of = (run: Record<string, number>) => run[kind] as number;
      const ratio = rangeOf(runs.map((run) => of(run) / (run[JSON_ALONE] as number)));
      return { kind, ms: rangeOf(runs.map(of)), ratio };
    });
    return {
      tables: [
        {
          title: "5,000 wrong or unusual resources against what JSON takes alone",
          columns: ["kind", "ms", "times JSON alone"],
          rows: all.map(({ kind, ms, ratio }) => [kind, rangeText(ms), rangeText(ratio)]),
          note:
            `Medians of ${RUNS} runs of ${ROUNDS} rounds each, in turn, and their range. From bytes to answer for the good ones; to all violations, or to what is to ` +
            "be looked up, for the others.",
        },
      ],
      targets: [
        {
          what: "wrong resources against JSON alone, worst kind",
          measured: Math.max(...all.map(({ ratio }) => ratio.most)),
          atMost: RATIO_MAX,
          unit: "x",
        },
      ],
    };
  },
};

const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };

function outcome(body: Uint8Array): string | number {
  const question = parseMatchRequest(body, RULES);
  return question instanceof Failure ? question.reason : question.count;
}
