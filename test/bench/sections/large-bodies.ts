import { Failure } from "../../../src/failure.ts";
import {
  BODY_MAX_BYTES,
  NON_CANONICAL_MAX_BYTES,
  NON_CANONICAL_MAX_TOKENS,
} from "../../../src/platform-limits.ts";
import { parseMatchRequest } from "../../../src/resource-match/match-request.ts";
import { formatRange, measureMs, type Range, rangeOf, round } from "../support/measure.ts";
import type { Findings, Section } from "../support/section.ts";

const RUNS = 5;
const MAX_MS = 150;
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const SHA1 = "a".repeat(40);

/** Bodies as a start, a piece that is repeated, and an end. */
export const SHAPES: Record<string, [start: string, piece: string, end: string]> = {
  "nested arrays": ["", "[", ""],
  "empty objects": ['{"resources":[', "{},", "{}]}"],
  "objects of one member": ['{"resources":[', '{"a":0},', "{}]}"],
  "objects in a checksum": ['{"resources":[{"checksum":', '{"a":', ""],
  "members of one object": ['{"resources":{', '"a":0,', '"a":0}}'],
  numbers: ['{"resources":[', "1,", "1]}"],
  "canonical resources": [
    '{"resources":[',
    `{"checksum":{"value":"${SHA1}"},"size_in_bytes":1,"path":"a","mode":"644"},`,
    "{}]}",
  ],
  "one path": [`{"resources":[{"checksum":{"value":"${SHA1}"},"size_in_bytes":1,"path":"`, "a", '"}]}'],
  "one path beyond Latin-1": [
    `{"resources":[{"checksum":{"value":"${SHA1}"},"size_in_bytes":1,"path":"`,
    "語",
    '"}]}',
  ],
  "one path of escapes": [
    `{"resources":[{"checksum":{"value":"${SHA1}"},"size_in_bytes":1,"path":"`,
    "\\u8a9e",
    '"}]}',
  ],
  "long paths, non-canonical": [
    '{"resources":[',
    `{"checksum":{"value":"${SHA1}"},"size_in_bytes":1,"path":"${"a".repeat(3_100)}","x":0},`,
    `{"checksum":{"value":"${SHA1}"},"size_in_bytes":1}]}`,
  ],
  whitespace: ['{"resources":[', " ", "]}"],
  "invalid UTF-8": ['{"resources":["', "\u00ff", '"]}'],
};

/** Measures malicious bodies, as large as the slow path takes them and of 15 MiB. None may block an isolate for long. */
export const largeBodies: Section = {
  name: "large-bodies",
  async run(): Promise<Findings> {
    const found: { shape: string; bytes: number; ms: Range; result: string }[] = [];
    const sizes = [NON_CANONICAL_MAX_BYTES, BODY_MAX_BYTES];
    const bodies = Object.keys(SHAPES).flatMap((shape) =>
      sizes.map((maxBytes) => ({ shape, body: createShape(shape, maxBytes) })),
    );
    for (const { shape, body } of bodies) {
      const times: number[] = [];
      let result = "";
      for (let run = 0; run < RUNS; run++) {
        // Parsing may change the body.
        const copy = body.slice();
        times.push(
          await measureMs(() => {
            result = parse(copy);
          }),
        );
      }
      found.push({ shape, bytes: body.length, ms: rangeOf(times), result });
    }
    return {
      tables: [
        {
          title: "Large bodies of one shape, from bytes to contents or a failure",
          columns: ["shape", "bytes", "ms", "outcome"],
          rows: found.map(({ shape, bytes, ms, result }) => [shape, bytes, formatRange(ms), result]),
          note: `Medians and ranges of ${RUNS} runs each in one process. The first run is cold.`,
        },
      ],
      targets: [
        {
          what: "a body of any shape and size, parsing",
          measured: round(Math.max(...found.map(({ ms }) => ms.max))),
          atMost: MAX_MS,
          unit: " ms",
        },
      ],
    };
  },
};

/** A body of at most `maxBytes`. If the slow path takes that many, it also has at most as many tokens as that takes. */
export function createShape(shape: string, maxBytes: number): Uint8Array {
  const [start, piece, end] = SHAPES[shape] as [string, string, string];
  const encode = (text: string) =>
    new Uint8Array(Buffer.from(text, shape === "invalid UTF-8" ? "latin1" : "utf8"));
  const [first, repeated, last] = [encode(start), encode(piece), encode(end)];
  const tokens = (text: string) => text.match(/[,[{]/g)?.length ?? 0;
  const maxTokens = maxBytes > NON_CANONICAL_MAX_BYTES ? Number.POSITIVE_INFINITY : NON_CANONICAL_MAX_TOKENS;
  const count = Math.floor(
    Math.min(
      (maxBytes - first.length - last.length) / repeated.length,
      (maxTokens - tokens(start) - tokens(end)) / tokens(piece),
    ),
  );
  const body = new Uint8Array(first.length + count * repeated.length + last.length);
  body.set(first);
  for (let at = 0; at < count; at++) body.set(repeated, first.length + at * repeated.length);
  body.set(last, first.length + count * repeated.length);
  return body;
}

function parse(body: Uint8Array): string {
  const request = parseMatchRequest(body, RULES);
  return request instanceof Failure ? `${request.status}` : `${request.count} resources`;
}
