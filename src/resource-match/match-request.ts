import { fingerprintOf } from "../bytes/fingerprint.ts";
import { markMembers } from "../bytes/marks.ts";
import { concat, type Scanned, scan, spanOf, writeResponse } from "../bytes/requests.ts";
import { KEY_BYTES, KEY_PERMISSIONS, SHA1_BYTES } from "../bytes/working-memory.ts";
import { Contents, PRESENT } from "../cache/contents.ts";
import type { Configuration } from "../configuration.ts";
import { Failure } from "../failure.ts";
import type { SessionRequest } from "../push-sessions/decisions.ts";
import { sha1Bytes, toHex } from "../resources/sha1.ts";
import { toCanonicalForm } from "./canonical-form.ts";

export type EligibilityRules = Configuration["eligibility"];

/** Matched files whose mode lacked required bits. */
export interface CompletedModes {
  count: number;
  /** Those of the first three; of a resource without a path, none. */
  paths: string[];
}

const NAMED_PATHS_MAX = 3;

/** The last digits of a mode are permissions, those before them the type of the file. */
const PERMISSION_DIGITS = 4;

/**
 * Parses the body of a request. Fast path: a body in canonical form is scanned in its bytes, and no object is created for a
 * resource. Slow path: any other body is first written in canonical form.
 *
 * @returns a failure if the body is not JSON, violates the schema, or is too large for the slow path
 */
export function parseMatchRequest(body: Uint8Array, rules: EligibilityRules): MatchRequest | Failure {
  const scanned = scan(body, rules);
  if (scanned) return new MatchRequest(body, scanned, rules);
  const canonical = toCanonicalForm(body);
  if (canonical instanceof Failure) return canonical;
  const { count, text, tooLong } = canonical;
  const rescanned = count === tooLong.length ? NOTHING : scan(text, rules);
  if (!rescanned) throw new Error("the scan did not accept the canonical form");
  const excluded = tooLong.map(sha1Bytes).reduce(concat, rescanned.excluded);
  return new MatchRequest(text, { ...rescanned, count, excluded }, rules);
}

const NOTHING = { keys: new Uint8Array(), spans: new Uint8Array(), excluded: new Uint8Array() };

export class MatchRequest {
  /** Resources, candidates or not. */
  readonly count: number;
  /** Resources whose size is within the limits, in the order of the request. No other resource matches. */
  readonly candidates: Contents;
  /** For each candidate 0 if a resource with its SHA-1 has a mode that lacks bits, or a text that is too long; else 1. */
  readonly isEligible: Uint8Array;
  readonly #body: Uint8Array;
  readonly #scanned: Scanned;
  readonly #rules: EligibilityRules;

  /** @param body the bytes that the spans of `scanned` refer to */
  constructor(body: Uint8Array, scanned: Scanned, rules: EligibilityRules) {
    this.count = scanned.count;
    this.candidates = new Contents(scanned.keys);
    this.isEligible = eligible(scanned);
    this.#body = body;
    this.#scanned = scanned;
    this.#rules = rules;
  }

  /**
   * The body of the response: the marked candidates, in their order. A mode that lacks a required bit is returned with it.
   *
   * @param marks 1 or 0 for each candidate
   */
  responseBody(marks: Uint8Array): { bytes: Uint8Array<ArrayBuffer>; completedModes: CompletedModes } {
    const { keys, spans, excluded } = this.#scanned;
    const completedModes: CompletedModes = { count: 0, paths: [] };
    const unchanged = () => ({ bytes: writeResponse(this.#body, spans, marks), completedModes });
    if (excluded.length === 0) return unchanged();

    const rows = new DataView(keys.buffer);
    const { minimumFileMode: bits = 0 } = this.#rules;
    const pieces: string[] = [];
    let copied = 0;
    marks.forEach((mark, index) => {
      const span = spanOf(spans, index, "mode");
      const permissions = rows.getUint32(KEY_BYTES * index + KEY_PERMISSIONS, true);
      if (!mark || !span || (permissions & bits) === bits) return;
      const mode = JSON.parse(this.#textAt(span.start, span.end));
      pieces.push(this.#textAt(copied, span.start), JSON.stringify(addPermissions(mode, bits)));
      copied = span.end;
      completedModes.count += 1;
      const path = spanOf(spans, index, "path");
      if (path && completedModes.count <= NAMED_PATHS_MAX) {
        completedModes.paths.push(JSON.parse(this.#textAt(path.start, path.end)));
      }
    });
    if (copied === 0) return unchanged();
    pieces.push(this.#textAt(copied, this.#body.length));
    // The body is still canonical and has the same candidates, but its spans have moved.
    const body = new TextEncoder().encode(pieces.join(""));
    const rescanned = scan(body, this.#rules);
    if (!rescanned) throw new Error("the scan did not accept the completed modes");
    return { bytes: writeResponse(body, rescanned.spans, marks), completedModes };
  }

  sessionRequest(): SessionRequest {
    const { count, candidates } = this;
    const contents = candidates.folded();
    const paths = [0, candidates.count - 1].map((index) => {
      const span = candidates.count > 0 ? spanOf(this.#scanned.spans, index, "path") : undefined;
      return this.#body.subarray(span?.start ?? 0, span?.end ?? 0);
    });
    return { count, contents, fingerprint: fingerprintOf(contents, ...paths) };
  }

  #textAt(start: number, end: number): string {
    return new TextDecoder().decode(this.#body.subarray(start, end));
  }
}

/**
 * cf CLI uploads no file of a matched checksum. So one file that the platform can't take from the pool excludes all files
 * with the same SHA-1.
 */
function eligible({ keys, excluded }: Scanned): Uint8Array {
  const isEligible = new Uint8Array(keys.length / KEY_BYTES).fill(1);
  if (excluded.length === 0) return isEligible;
  const sha1At = (rows: Uint8Array, start: number) => toHex(rows.subarray(start, start + SHA1_BYTES));
  const excludedSha1s = new Set<string>();
  for (let at = 0; at < excluded.length; at += SHA1_BYTES) excludedSha1s.add(sha1At(excluded, at));
  return isEligible.map((_, index) => (excludedSha1s.has(sha1At(keys, KEY_BYTES * index)) ? 0 : 1));
}

/** Adds bits to an octal mode. Leading zeros stay. */
function addPermissions(mode: string, bits: number): string {
  const type = mode.slice(0, -PERMISSION_DIGITS);
  const digits = (Number.parseInt(mode.slice(-PERMISSION_DIGITS), 8) | bits).toString(8);
  return type + digits.padStart(Math.min(mode.length, PERMISSION_DIGITS), "0");
}

/** Warms up the fast path when the isolate starts, so that the first request does not wait for compilation. */
function warmUp(): void {
  const text = `{"resources":[{"checksum":{"value":"${"0".repeat(40)}"},"size_in_bytes":0,"path":"","mode":"644"}]}`;
  const rules = { minimumSize: 0, maximumSize: 0, minimumFileMode: 0 };
  const request = parseMatchRequest(new TextEncoder().encode(text), rules);
  if (request instanceof Failure) throw new Error(request.reason);
  const { candidates, isEligible } = request;
  const marks = new Uint8Array(candidates.count);
  markMembers(new BigUint64Array(1), candidates.entries("0".repeat(32)), marks, PRESENT);
  candidates.unknown(marks);
  request.sessionRequest();
  candidates.bytesOf(marks);
  request.responseBody(isEligible);
}

warmUp();
