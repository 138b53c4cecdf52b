import { Failure } from "../../../src/failure.ts";
import { parseMatchRequest } from "../../../src/resource-match/match-request.ts";
import { formatRange, measureInterleaved, median, rangeOf } from "../support/measure.ts";
import { jsonAlone, matchBytes } from "../support/pipeline.ts";
import { MILLION, openCache, packMillionFiles } from "../support/pool.ts";
import { createApp, type SentResource } from "../support/resources.ts";
import type { Findings, Section } from "../support/section.ts";

const FILES = 5_000;
const RUNS = 5;
const ROUNDS = 10;
const RATIO_MAX = 10;
const JSON_ALONE = "JSON alone, valid resources";

/** Resources that the fast path does not handle. */
const KINDS: Record<string, (resource: SentResource) => unknown> = {
  "numbers instead of objects": () => 1,
  "every member invalid": () => ({ path: 1, mode: "999", checksum: { value: "x" }, size_in_bytes: -1 }),
  "empty objects": () => ({}),
  "checksum too short": (resource) => ({
    ...resource,
    checksum: { value: resource.checksum.value.slice(1) },
  }),
  "valid, path and mode null": (resource) => ({ ...resource, path: null, mode: null }),
  "valid, checksum not hexadecimal": (resource) => ({ ...resource, checksum: { value: "ü".repeat(40) } }),
};

/** Measures invalid resources. They must not take much longer than valid ones, so that no client can slow the Worker down. */
export const invalid: Section = {
  name: "invalid",
  async run(): Promise<Findings> {
    const cache = openCache(packMillionFiles());
    const valid = createApp(FILES, MILLION);
    const encode = (resources: unknown[]) => new TextEncoder().encode(JSON.stringify({ resources }));
    const bodies = Object.entries(KINDS).map(([kind, change]) => [kind, encode(valid.map(change))] as const);
    const validBody = encode(valid);
    const echoed = { resources: valid };
    const ways: Record<string, () => unknown> = {
      [JSON_ALONE]: () => jsonAlone(validBody, echoed),
      valid: () => matchBytes(validBody, cache),
      ...Object.fromEntries(bodies.map(([kind, body]) => [kind, () => parse(body)])),
    };
    const runs: Record<string, number>[] = [];
    for (let run = 0; run < RUNS; run++) {
      const times = Object.entries(await measureInterleaved(ROUNDS, ways));
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
          title: "5,000 invalid or non-canonical resources against JSON alone",
          columns: ["kind", "ms", "times JSON alone"],
          rows: all.map(({ kind, ms, ratio }) => [kind, formatRange(ms), formatRange(ratio)]),
          note:
            `Medians and ranges of ${RUNS} runs of ${ROUNDS} rounds each, in turn. The valid resources are processed from bytes to the ` +
            "response, the others from bytes to their violations or contents.",
        },
      ],
      targets: [
        {
          what: "invalid resources against JSON alone, slowest kind",
          measured: Math.max(...all.map(({ ratio }) => ratio.max)),
          atMost: RATIO_MAX,
          unit: "x",
        },
      ],
    };
  },
};

const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };

function parse(body: Uint8Array): string | number {
  const request = parseMatchRequest(body, RULES);
  return request instanceof Failure ? request.reason : request.count;
}
