import { Failure } from "../../../src/failure.ts";
import { parseResources } from "../../../src/resource-match/request.ts";
import { interleaved, median, rounded } from "../support/measure.ts";
import { answerTo } from "../support/pipeline.ts";
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
    const text = (resources: unknown[]) => JSON.stringify({ resources });
    const texts = Object.entries(KINDS).map(([kind, spoil]) => [kind, text(good.map(spoil))] as const);
    const usual = text(good);
    const times = await interleaved(ROUNDS, {
      good: () => answerTo(usual, cache),
      ...Object.fromEntries(texts.map(([kind, body]) => [kind, () => outcome(body)])),
    } as Record<string, () => unknown>);

    const base = median(times.good ?? []);
    const all = Object.entries(times).map(([kind, values]) => [kind, median(values)] as const);
    return {
      tables: [
        {
          title: "5,000 wrong or unusual resources against 5,000 good ones",
          columns: ["kind", "ms", "times the good ones"],
          rows: all.map(([kind, ms]) => [kind, rounded(ms), rounded(ms / base)]),
          note:
            `Medians of ${ROUNDS} rounds. From text to answer for the good ones; to all violations, or to the list of ` +
            "resources, for the others.",
        },
      ],
      targets: [
        {
          what: "wrong resources against good ones, worst kind",
          measured: Math.max(...all.map(([, ms]) => ms / base)),
          atMost: RATIO_MAX,
          unit: "x",
        },
      ],
    };
  },
};

function outcome(text: string): string | number {
  const resources = parseResources(text);
  return resources instanceof Failure ? resources.reason : resources.length;
}
