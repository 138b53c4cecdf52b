import { Failure } from "../../../src/failure.ts";
import { readQuestion } from "../../../src/resource-match/question.ts";
import { interleaved, median, rounded } from "../support/measure.ts";
import { answerTo, jsonAlone } from "../support/pipeline.ts";
import { MILLION, millionFiles, openCache } from "../support/pool.ts";
import { app, type SentResource } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const FILES = 5_000;
const ROUNDS = 40;
const RATIO_MAX = 10;

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
    const times = await interleaved(ROUNDS, {
      "JSON alone, of the good ones": () => jsonAlone(usual, echoed),
      good: () => answerTo(usual, cache),
      ...Object.fromEntries(texts.map(([kind, body]) => [kind, () => outcome(body)])),
    } as Record<string, () => unknown>);

    const base = median(times["JSON alone, of the good ones"] ?? []);
    const all = Object.entries(times).map(([kind, values]) => [kind, median(values)] as const);
    return {
      tables: [
        {
          title: "5,000 wrong or unusual resources against what JSON takes alone",
          columns: ["kind", "ms", "times JSON alone"],
          rows: all.map(([kind, ms]) => [kind, rounded(ms), rounded(ms / base)]),
          note:
            `Medians of ${ROUNDS} rounds. From bytes to answer for the good ones; to all violations, or to what is to ` +
            "be looked up, for the others.",
        },
      ],
      targets: [
        {
          what: "wrong resources against JSON alone, worst kind",
          measured: Math.max(...all.map(([, ms]) => ms / base)),
          atMost: RATIO_MAX,
          unit: "x",
        },
      ],
    };
  },
};

const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };

function outcome(body: Uint8Array): string | number {
  const question = readQuestion(body, RULES);
  return question instanceof Failure ? question.reason : question.count;
}
