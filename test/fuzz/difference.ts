import { expected } from "./oracle.ts";
import { POOL } from "./pool.ts";
import { CONFIGURATIONS, type FuzzRequest, type FuzzResponse, type Send } from "./request.ts";

const SHOWN_MAX = 600;
const SHRINK_ATTEMPTS_MAX = 1_500;
/** The bytes of a body that are printed, before repetitions are abbreviated. */
const READ_MAX = 2_000_000;
/** A repetition. */
const RUNS = /(.{1,8}?)\1{30,}/gs;

/** How a response differs from the oracle's; empty if it does not. */
export async function findDifferences(request: FuzzRequest, send: Send): Promise<string[]> {
  return compareResponse(request, await send(request));
}

function compareResponse(request: FuzzRequest, { status, headers, body }: FuzzResponse): string[] {
  const expectedResponse = expected(request, CONFIGURATIONS[request.configuration], POOL);
  const lines: string[] = [];
  const compare = (what: string, actual: unknown, wanted: unknown) => {
    if (actual !== wanted)
      lines.push(`${what} is ${abbreviate(String(actual))}\n  and should be ${abbreviate(String(wanted))}`);
  };
  compare("status", status, expectedResponse.status);
  if (!isSame(body, new TextEncoder().encode(expectedResponse.body))) {
    compare("body", new TextDecoder().decode(body), expectedResponse.body);
    if (lines.length === 0) lines.push("body has other bytes");
  }
  compare("Content-Type", headers.get("Content-Type"), "application/json; charset=utf-8");
  compare("Location", headers.get("Location"), null);
  compare("X-Cf-Warnings", headers.get("X-Cf-Warnings"), null);
  const id = headers.get("X-Vcap-Request-Id") ?? "";
  if (!expectedResponse.requestId.test(id))
    lines.push(`X-Vcap-Request-Id is ${id}\n  and should be ${expectedResponse.requestId}`);
  return lines;
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  // A callback for each of a million bytes is slow.
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}

/** Describes a failure, with the smallest body that still fails, and the command that repeats it. */
export async function explain(seed: number, request: FuzzRequest, send: Send, flags = ""): Promise<string> {
  const small = await shrink(request, async (other) => (await findDifferences(other, send)).length > 0);
  const { body, ...rest } = small;
  return [
    ...(await findDifferences(small, send)),
    `of ${JSON.stringify(rest)}`,
    `with a body of ${body.length} bytes, once ${request.body.length}: ${abbreviate(readable(body))}`,
    `npm run fuzz -- --seed ${seed} --cases 1${flags}`,
  ].join("\n");
}

/** Removes parts of the body for as long as the request still fails, fewer at a time. */
async function shrink(
  request: FuzzRequest,
  fails: (request: FuzzRequest) => Promise<boolean>,
): Promise<FuzzRequest> {
  let small = request;
  let attempts = 0;
  const parts = partsOf(request.body);
  for (let size = Math.ceil(parts.length / 2); size >= 1 && attempts < SHRINK_ATTEMPTS_MAX; ) {
    let hasShrunk = false;
    for (let from = 0, at = 0; from < parts.length && attempts < SHRINK_ATTEMPTS_MAX; attempts++) {
      const bytes = parts.slice(from, from + size).reduce((sum, each) => sum + each, 0);
      const candidate = { ...small, body: without(small.body, at, bytes) };
      if (await fails(candidate)) {
        [small, hasShrunk] = [candidate, true];
        parts.splice(from, size);
      } else {
        from += size;
        at += bytes;
      }
    }
    if (size === 1 && !hasShrunk) break;
    size = size === 1 ? 1 : Math.floor(size / 2);
  }
  return small;
}

/** The lengths of the parts that can be removed: single bytes, and ever smaller shares of a repetition. */
function partsOf(body: Uint8Array): number[] {
  const parts: number[] = [];
  let at = 0;
  const eachByteTo = (end: number) => {
    for (; at < end; at++) parts.push(1);
  };
  // A character a byte.
  for (const { index, 0: run, 1: unit = "" } of new TextDecoder("latin1").decode(body).matchAll(RUNS)) {
    eachByteTo(index);
    for (let left = run.length / unit.length; left > 0; left = Math.floor(left / 2))
      parts.push(Math.ceil(left / 2) * unit.length);
    at += run.length;
  }
  eachByteTo(body.length);
  return parts;
}

function without(bytes: Uint8Array, from: number, count: number): Uint8Array<ArrayBuffer> {
  const rest = new Uint8Array(bytes.length - count);
  rest.set(bytes.subarray(0, from));
  rest.set(bytes.subarray(from + count), from);
  return rest;
}

/** Printable text, with each repetition once and its count. */
function readable(bytes: Uint8Array): string {
  const isText = (byte: number) => byte >= 0x20 && byte < 0x7f;
  const text = Array.from(bytes.subarray(0, READ_MAX), (byte) =>
    isText(byte) ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return text.join("").replace(RUNS, (run, unit: string) => `${unit}{${run.length / unit.length} times}`);
}

function abbreviate(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… of ${text.length}` : text;
}
