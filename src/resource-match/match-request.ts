import { fingerprintOf } from "../bytes/fingerprint.ts";
import { markMembers } from "../bytes/marks.ts";
import { joined, modePlace, pathPlace, type Scanned, scan, write } from "../bytes/requests.ts";
import { KEY_BYTES, KEY_PERMISSIONS, SHA1_BYTES } from "../bytes/workspace.ts";
import { Contents, PRESENT } from "../cache/contents.ts";
import { Failure } from "../failure.ts";
import { decodeBody } from "../http/body.ts";
import type { SessionRequest } from "../push-sessions/decisions.ts";
import { sha1Bytes, toHex } from "../resources/sha1.ts";
import type { CanonicalRequest } from "./canonical-text.ts";
import { type EligibilityRules, withBits } from "./eligibility.ts";
import { isLarge, readLarge } from "./large-request.ts";
import { canonicalText, parseResources } from "./request.ts";
import { isTooLong } from "./text-limit.ts";

/**
 * What a request asks about. The usual request never becomes objects, but is read from its bytes; any other is written in
 * the usual form first, once JSON.parse and the schema have taken it.
 *
 * @param body which may be used up
 * @returns a failure for what is no JSON, or not as the schema has it
 */
export function parseMatchRequest(body: Uint8Array, rules: EligibilityRules): MatchRequest | Failure {
  const scanned = scan(body, rules);
  if (scanned) return new MatchRequest(body, scanned, rules);
  const usual = isLarge(body) ? readLarge(body) : readAsJson(body);
  if (usual instanceof Failure) return usual;
  const rescanned = usual.count === usual.tooLong.length ? NOTHING : scan(usual.text, rules);
  if (!rescanned) throw new Error("the usual form was not understood");
  // A body has room for sixty that are too long.
  const ruledOut = usual.tooLong.map(sha1Bytes);
  const lacking = ruledOut.reduce(joined, rescanned.lacking);
  return new MatchRequest(usual.text, { ...rescanned, count: usual.count, lacking }, rules);
}

const NOTHING = { keys: new Uint8Array(), places: new Uint8Array(), lacking: new Uint8Array() };

/** By JSON.parse and the schema. */
function readAsJson(body: Uint8Array): CanonicalRequest | Failure {
  const text = decodeBody(body);
  const resources = text instanceof Failure ? text : parseResources(text);
  if (resources instanceof Failure) return resources;
  const { short = [], long = [] } = Object.groupBy(resources, (each) => (isTooLong(each) ? "long" : "short"));
  return {
    count: resources.length,
    text: new TextEncoder().encode(canonicalText(short)),
    tooLong: long.map(({ checksum }) => checksum.value),
  };
}

/** What a request asks about. */
export class MatchRequest {
  /** Resources that were asked about, whether they can match or not. */
  readonly count: number;
  /** Those whose size the pool may hold, the candidates, in the request's order: no other ever matches. */
  readonly candidates: Contents;
  /** Of each candidate 1 where it may match with the modes that its content has. */
  readonly isEligible: Uint8Array;
  readonly #body: Uint8Array;
  readonly #scanned: Scanned;
  readonly #rules: EligibilityRules;

  /** @param body in which `scanned` was found */
  constructor(body: Uint8Array, scanned: Scanned, rules: EligibilityRules) {
    this.count = scanned.count;
    this.candidates = new Contents(scanned.keys);
    this.isEligible = eligible(scanned);
    this.#body = body;
    this.#scanned = scanned;
    this.#rules = rules;
  }

  /**
   * The answer that names the marked candidates, in their order, each with the bits that a mode must have.
   *
   * @param marks of each candidate 1 or 0
   */
  responseBody(marks: Uint8Array): { bytes: Uint8Array<ArrayBuffer>; hasOtherModes: boolean } {
    const { keys, places, lacking } = this.#scanned;
    if (lacking.length === 0) return { bytes: write(this.#body, places, marks), hasOtherModes: false };

    const permissions = new DataView(keys.buffer);
    const { minimumFileMode: bits = 0 } = this.#rules;
    const pieces: string[] = [];
    let copied = 0;
    marks.forEach((mark, index) => {
      const place = modePlace(places, index);
      const isOk = (permissions.getUint32(KEY_BYTES * index + KEY_PERMISSIONS, true) & bits) === bits;
      if (!mark || !place || isOk) return;
      const mode = JSON.parse(this.#textAt(place.start, place.end));
      pieces.push(this.#textAt(copied, place.start), JSON.stringify(withBits(mode, bits)));
      copied = place.end;
    });
    if (copied === 0) return { bytes: write(this.#body, places, marks), hasOtherModes: false };
    pieces.push(this.#textAt(copied, this.#body.length));
    // With these modes it is of the usual form as before, and its candidates are the same.
    const body = new TextEncoder().encode(pieces.join(""));
    const rescanned = scan(body, this.#rules);
    if (!rescanned) throw new Error("the modes were not understood");
    return { bytes: write(body, rescanned.places, marks), hasOtherModes: true };
  }

  /** What the session of the push knows of the request. */
  sessionRequest(): SessionRequest {
    const { count, candidates } = this;
    const contents = candidates.folded();
    const paths = [0, candidates.count - 1].map((index) => {
      const place = candidates.count > 0 ? pathPlace(this.#scanned.places, index) : undefined;
      return this.#body.subarray(place?.start ?? 0, place?.end ?? 0);
    });
    return { count, contents, fingerprint: fingerprintOf(contents, ...paths) };
  }

  #textAt(start: number, end: number): string {
    return new TextDecoder().decode(this.#body.subarray(start, end));
  }
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

/**
 * A function is compiled when it is first called. An isolate starts while TLS is agreed on: what it has gone through once by
 * then, no request waits for.
 */
function warmUp(): void {
  const text = `{"resources":[{"checksum":{"value":"${"0".repeat(40)}"},"size_in_bytes":0,"path":"","mode":"644"}]}`;
  const question = parseMatchRequest(new TextEncoder().encode(text), {
    minimumSize: 0,
    maximumSize: 0,
    minimumFileMode: 0,
  });
  if (question instanceof Failure) throw new Error(question.reason);
  const { candidates, isEligible } = question;
  const marks = new Uint8Array(candidates.count);
  markMembers(new BigUint64Array(1), candidates.entries("0".repeat(32)), marks, PRESENT);
  candidates.unknown(marks);
  question.sessionRequest();
  candidates.bytesOf(marks);
  question.responseBody(isEligible);
}

warmUp();
