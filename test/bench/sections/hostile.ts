import { Failure } from "../../../src/failure.ts";
import { BODY_MAX_BYTES } from "../../../src/platform-limits.ts";
import { parseMatchRequest } from "../../../src/resource-match/match-request.ts";
import { type Range, rangeOf, rangeText, rounded, timed } from "../support/measure.ts";
import type { Findings, Section } from "../support/section.ts";

const RUNS = 5;
const MAX_MS = 150;
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const SHA1 = "a".repeat(40);

/** Bodies of 15 MiB: what stands before, what is repeated, and what stands behind. */
const SHAPES: Record<string, [before: string, repeated: string, behind: string]> = {
  "nested arrays": ["", "[", ""],
  "empty objects": ['{"resources":[', "{},", "{}]}"],
  "objects of one member": ['{"resources":[', '{"a":0},', "{}]}"],
  "objects in a checksum": ['{"resources":[{"checksum":', '{"a":', ""],
  "members of one object": ['{"resources":{', '"a":0,', '"a":0}}'],
  numbers: ['{"resources":[', "1,", "1]}"],
  "resources of the usual form": [
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
  "long paths, in an unusual form": [
    '{"resources":[',
    `{"checksum":{"value":"${SHA1}"},"size_in_bytes":1,"path":"${"a".repeat(3_100)}","x":0},`,
    `{"checksum":{"value":"${SHA1}"},"size_in_bytes":1}]}`,
  ],
  blanks: ['{"resources":[', " ", "]}"],
  "no UTF-8": ['{"resources":["', "\u00ff", '"]}'],
};

/** Bodies of the largest size, of shapes that nobody needs: none may hold up an isolate for long. */
export const hostile: Section = {
  name: "hostile",
  async run(): Promise<Findings> {
    const found: { shape: string; ms: Range; answer: string }[] = [];
    for (const [shape, pieces] of Object.entries(SHAPES)) {
      const body = bodyOf(shape, pieces);
      const times: number[] = [];
      let answer = "";
      for (let run = 0; run < RUNS; run++) {
        // Reading may use a body up.
        const copy = body.slice();
        times.push(
          await timed(() => {
            answer = outcome(copy);
          }),
        );
      }
      found.push({ shape, ms: rangeOf(times), answer });
    }
    return {
      tables: [
        {
          title: "15 MiB of one shape, from bytes to what is to be looked up or refused",
          columns: ["shape", "ms", "outcome"],
          rows: found.map(({ shape, ms, answer }) => [shape, rangeText(ms), answer]),
          note: `Of ${RUNS} runs each in one process, the first of them cold.`,
        },
      ],
      targets: [
        {
          what: "15 MiB of any shape, reading",
          measured: rounded(Math.max(...found.map(({ ms }) => ms.most))),
          atMost: MAX_MS,
          unit: " ms",
        },
      ],
    };
  },
};

function bodyOf(shape: string, [before, repeated, behind]: [string, string, string]): Uint8Array {
  const encode = (text: string) =>
    new Uint8Array(Buffer.from(text, shape === "no UTF-8" ? "latin1" : "utf8"));
  const [start, piece, end] = [encode(before), encode(repeated), encode(behind)];
  const count = Math.floor((BODY_MAX_BYTES - start.length - end.length) / piece.length);
  const body = new Uint8Array(start.length + count * piece.length + end.length);
  body.set(start);
  for (let at = 0; at < count; at++) body.set(piece, start.length + at * piece.length);
  body.set(end, start.length + count * piece.length);
  return body;
}

function outcome(body: Uint8Array): string {
  const question = parseMatchRequest(body, RULES);
  return question instanceof Failure ? `${question.status}` : `${question.count} resources`;
}
