import { expected } from "./oracle.ts";
import { POOL } from "./pool.ts";
import { type Answered, type Ask, CONFIGURATIONS, type Sent } from "./sent.ts";

const SHOWN_MAX = 600;
const SHRINKINGS_MAX = 1_500;
/** Of a body, to show it. */
const READ_MAX = 2_000_000;

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
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
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

/** Leaves out what may be left out of the body, in ever smaller pieces. */
async function shrunk(sent: Sent, fails: (sent: Sent) => Promise<boolean>): Promise<Sent> {
  let small = sent;
  let attempts = 0;
  for (let size = Math.ceil(small.body.length / 2); size >= 1 && attempts < SHRINKINGS_MAX; ) {
    let hasShrunk = false;
    for (let from = 0; from < small.body.length && attempts < SHRINKINGS_MAX; attempts++) {
      const body = without(small.body, from, Math.min(size, small.body.length - from));
      const candidate = { ...small, body };
      if (await fails(candidate)) [small, hasShrunk] = [candidate, true];
      else from += size;
    }
    if (size === 1 && !hasShrunk) break;
    size = size === 1 ? 1 : Math.floor(size / 2);
  }
  return small;
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
  return shown
    .join("")
    .replace(/(.{1,8}?)\1{30,}/g, (run, unit: string) => `${unit}{${run.length / unit.length} times}`);
}

function shown(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… of ${text.length}` : text;
}
