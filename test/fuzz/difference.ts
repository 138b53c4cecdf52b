import { expected } from "./oracle.ts";
import { POOL } from "./pool.ts";
import { type Answered, type Ask, CONFIGURATIONS, type Sent } from "./sent.ts";

const SHOWN_MAX = 600;
const SHRINKINGS_MAX = 1_500;
/** Of a body, to show it. */
const READ_MAX = 2_000_000;
/** What comes many times over. */
const RUNS = /(.{1,8}?)\1{30,}/gs;

/** In which ways an answer is not what the oracle says; empty where it is. */
export async function differencesOf(sent: Sent, ask: Ask): Promise<string[]> {
  return differences(sent, await ask(sent));
}

function differences(sent: Sent, { status, headers, body }: Answered): string[] {
  const wanted = expected(sent, CONFIGURATIONS[sent.configuration], POOL);
  const found: string[] = [];
  const compare = (what: string, is: unknown, should: unknown) => {
    if (is !== should)
      found.push(`${what} is ${shown(String(is))}\n  and should be ${shown(String(should))}`);
  };
  compare("status", status, wanted.status);
  if (!isSame(body, new TextEncoder().encode(wanted.body))) {
    compare("body", new TextDecoder().decode(body), wanted.body);
    if (found.length === 0) found.push("body has other bytes");
  }
  compare("Content-Type", headers.get("Content-Type"), "application/json; charset=utf-8");
  compare("Location", headers.get("Location"), null);
  compare("X-Cf-Warnings", headers.get("X-Cf-Warnings"), null);
  const id = headers.get("X-Vcap-Request-Id") ?? "";
  if (!wanted.requestId.test(id))
    found.push(`X-Vcap-Request-Id is ${id}\n  and should be ${wanted.requestId}`);
  return found;
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  // A function called for each of a million bytes takes its time.
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}

/** What fails of a seed, with the smallest body that still fails, and the command that repeats it. */
export async function explain(seed: number, sent: Sent, ask: Ask, flags = ""): Promise<string> {
  const small = await shrunk(sent, async (other) => (await differencesOf(other, ask)).length > 0);
  const { body, ...rest } = small;
  return [
    ...(await differencesOf(small, ask)),
    `of ${JSON.stringify(rest)}`,
    `with a body of ${body.length} bytes, once ${sent.body.length}: ${shown(readable(body))}`,
    `npm run fuzz -- --seed ${seed} --cases 1${flags}`,
  ].join("\n");
}

/** Leaves out what may be left out of the body, ever fewer parts at a time. */
async function shrunk(sent: Sent, fails: (sent: Sent) => Promise<boolean>): Promise<Sent> {
  let small = sent;
  let attempts = 0;
  const parts = partsOf(sent.body);
  for (let size = Math.ceil(parts.length / 2); size >= 1 && attempts < SHRINKINGS_MAX; ) {
    let hasShrunk = false;
    for (let from = 0, at = 0; from < parts.length && attempts < SHRINKINGS_MAX; attempts++) {
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

/** Bytes of what may be left out at a time: each byte, but of what comes many times over ever smaller shares. */
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

/** What comes many times over stands there once, with its number. */
function readable(bytes: Uint8Array): string {
  const isText = (byte: number) => byte >= 0x20 && byte < 0x7f;
  const shown = Array.from(bytes.subarray(0, READ_MAX), (byte) =>
    isText(byte) ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return shown.join("").replace(RUNS, (run, unit: string) => `${unit}{${run.length / unit.length} times}`);
}

function shown(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… of ${text.length}` : text;
}
