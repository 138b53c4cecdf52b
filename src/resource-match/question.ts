import { decodeBody } from "../body.ts";
import {
  KEY_BYTES,
  KEY_PERMISSIONS,
  PLACE_BYTES,
  PLACE_MODE,
  PLACE_MODE_END,
  type Scanned,
  SHA1_BYTES,
  scan,
  write,
} from "../bytes/workspace.ts";
import { Contents } from "../cache/contents.ts";
import { Failure } from "../failure.ts";
import { toHex } from "../hex.ts";
import { condense } from "./condense.ts";
import { type EligibilityRules, withBits } from "./eligibility.ts";
import { parseResources, usualForm } from "./request.ts";

/**
 * What a request asks about. The usual request never becomes objects, but is read from its bytes; any other is written in
 * the usual form first, once JSON.parse and the schema have taken it.
 *
 * @returns a failure for what is no JSON, or not as the schema has it
 */
export function readQuestion(body: Uint8Array, rules: EligibilityRules): Question | Failure {
  const scanned = scan(body, rules);
  if (scanned) return new Question(body, scanned, rules);
  const condensed = condense(body);
  if (condensed instanceof Failure) return condensed;
  const text = decodeBody(condensed);
  if (text instanceof Failure) return text;
  const resources = parseResources(text);
  if (resources instanceof Failure) return resources;
  const usual = new TextEncoder().encode(usualForm(resources));
  const nothing = { count: 0, keys: new Uint8Array(), places: new Uint8Array(), lacking: new Uint8Array() };
  const rescanned = resources.length === 0 ? nothing : scan(usual, rules);
  if (!rescanned) throw new Error("the usual form was not understood");
  return new Question(usual, rescanned, rules);
}

/** What a request asks about. */
export class Question {
  /** Resources that were asked about, whether they can match or not. */
  readonly count: number;
  /** Those whose size the pool may hold, the candidates, in the request's order: no other ever matches. */
  readonly candidates: Contents;
  /** Of each candidate 1 where it may match with the modes that its content has. */
  readonly isEligible: Uint8Array;
  readonly #body: Uint8Array;
  readonly #scanned: Scanned;
  readonly #bits: number;

  /** @param body in which `scanned` was found */
  constructor(body: Uint8Array, scanned: Scanned, { minimumFileMode = 0 }: EligibilityRules) {
    this.count = scanned.count;
    this.candidates = new Contents(scanned.keys);
    this.isEligible = eligible(scanned);
    this.#body = body;
    this.#scanned = scanned;
    this.#bits = minimumFileMode;
  }

  /**
   * The answer that names the marked candidates, in their order, each with the bits that a mode must have.
   *
   * @param marks of each candidate 1 or 0
   */
  answer(marks: Uint8Array): { bytes: Uint8Array<ArrayBuffer>; hasOtherModes: boolean } {
    const { keys, places, lacking } = this.#scanned;
    if (lacking.length === 0) return { bytes: write(this.#body, places, marks), hasOtherModes: false };

    const [permissions, rows] = [new DataView(keys.buffer), new DataView(places.slice().buffer)];
    let [body, added] = [this.#body, ""];
    marks.forEach((mark, index) => {
      const place = PLACE_BYTES * index;
      const start = rows.getUint32(place + PLACE_MODE, true);
      const bits = permissions.getUint32(KEY_BYTES * index + KEY_PERMISSIONS, true);
      if (!mark || start === 0 || (bits & this.#bits) === this.#bits) return;
      const mode = JSON.parse(textAt(this.#body, start, rows.getUint32(place + PLACE_MODE_END, true)));
      rows.setUint32(place + PLACE_MODE, this.#body.length + added.length, true);
      added += JSON.stringify(withBits(mode, this.#bits));
      rows.setUint32(place + PLACE_MODE_END, this.#body.length + added.length, true);
    });
    if (added !== "") {
      body = new Uint8Array(this.#body.length + added.length);
      body.set(this.#body);
      body.set(new TextEncoder().encode(added), this.#body.length);
    }
    return { bytes: write(body, new Uint8Array(rows.buffer), marks), hasOtherModes: added !== "" };
  }
}

function textAt(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder().decode(bytes.subarray(start, end));
}

/**
 * cf CLI leaves out every file of a matched checksum and uploads none of them: one file that the platform can't make from
 * the pool rules out all that share its content.
 */
function eligible({ keys, lacking }: Scanned): Uint8Array {
  const count = keys.length / KEY_BYTES;
  if (lacking.length === 0) return new Uint8Array(count).fill(1);
  const sha1At = (rows: Uint8Array, start: number) => toHex(rows.subarray(start, start + SHA1_BYTES));
  const ruledOut = new Set<string>();
  for (let at = 0; at < lacking.length; at += SHA1_BYTES) ruledOut.add(sha1At(lacking, at));
  return Uint8Array.from({ length: count }, (_, index) =>
    ruledOut.has(sha1At(keys, KEY_BYTES * index)) ? 0 : 1,
  );
}
