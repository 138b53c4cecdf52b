import type { Random } from "../random.ts";
import type { Kernel } from "./kernel.ts";
import type { KvFaults, WriteOutcome } from "./kv-faults.ts";
import type { Invocation } from "./process.ts";
import { callRemote, type Result } from "./remote.ts";

type Value = string | Uint8Array;

/** A value of a key from the time when it was stored. */
interface Version {
  value: Value | null;
  storedAt: number;
  expiresAt: number;
  /** For each view of each place, when it shows the value. */
  shownAt: number[];
}

interface CachedRead {
  fetchedAt: number;
  version: Version | undefined;
}

export interface KvOptions {
  places: number;
  /** The quota of a day (UTC): writes, and as many deletions. */
  operationsPerDay: number;
}

/** A place has several machines, so a second read may return an older value than the first. */
const VIEWS = 2;
const SECOND_VIEW_SHARE = 0.25;
const DAY_MS = 86_400_000;
const VERSIONS_KEPT_MS = 2 * DAY_MS;
const KEY_MAX_BYTES = 512;
const VALUE_MAX_BYTES = 25 * 1024 * 1024;
const BULK_MAX_KEYS = 100;

/** Workers KV: a central store, and in every place caches that show a write later. */
export class KvNamespace {
  readonly #faults: KvFaults;
  readonly #kernel: Kernel;
  readonly #random: Random;
  readonly #options: KvOptions;
  #hasQuota = true;
  readonly #versions = new Map<string, Version[]>();
  readonly #caches: Map<string, CachedRead>[];
  readonly #lastWriteAt = new Map<string, number>();
  readonly #spent = new Map<string, number>();

  constructor(kernel: Kernel, faults: KvFaults, options: KvOptions) {
    this.#kernel = kernel;
    this.#faults = faults;
    this.#options = options;
    this.#random = kernel.random.fork("kv");
    this.#caches = Array.from({ length: VIEWS * options.places }, () => new Map());
  }

  /** The binding for code that runs in one place. */
  binding(place: number) {
    return {
      get: (keys: string | string[], options?: unknown) => this.#get(place, keys, options),
      put: (key: string, value: unknown, options?: { expirationTtl?: number }) =>
        this.#put(key, value, options),
      delete: (key: string) => this.#delete(key),
    };
  }

  /** The central store, which only the checker reads. */
  contents(): Map<string, Value> {
    const contents = new Map<string, Value>();
    for (const [key, versions] of this.#versions) {
      const value = alive(versions.at(-1), this.#kernel.now);
      if (value !== null) contents.set(key, value);
    }
    return contents;
  }

  /** From now on no write exceeds the quota. */
  liftQuota(): void {
    this.#hasQuota = false;
  }

  /** Stores a value that every place shows immediately. */
  fill(key: string, value: Value): void {
    this.#versions.set(key, [
      { value, storedAt: 0, expiresAt: Infinity, shownAt: this.#caches.map(() => 0) },
    ]);
  }

  async #get(place: number, keys: string | string[], options: unknown) {
    const { type = "text", cacheTtl = 60 } =
      typeof options === "string"
        ? { type: options }
        : ((options ?? {}) as { type?: string; cacheTtl?: number });
    if (cacheTtl < 30)
      throw new Error(`KV GET failed: 400 Invalid cache_ttl of ${cacheTtl}. Cache TTL must be at least 30.`);
    const names = typeof keys === "string" ? [keys] : keys;
    if (names.length > BULK_MAX_KEYS)
      throw new Error("KV GET_BULK failed: 400 You can request a maximum of 100 keys");
    if (typeof keys !== "string" && (names.length === 0 || (type !== "text" && type !== "json"))) {
      throw new Error(`KV GET_BULK failed: 400 "${type}" is not a valid type`);
    }
    for (const name of names) checkKey(name);

    const found = await callRemote<(Value | null)[]>(this.#kernel, (reply, caller) => {
      const outcome = this.#faults.drawRead(caller.name, place, this.#random);
      if (outcome.kind === "hang") return;
      this.#kernel.after(outcome.ms, () => {
        if (outcome.kind === "fail")
          return reply({ error: new Error("KV GET failed: 503 Service Unavailable") });
        const view = this.#view(place);
        const values = names.map((name) =>
          this.#faults.isMiss(name, caller.name, place) ? null : this.#read(view, name, cacheTtl),
        );
        this.#note(
          caller,
          `get ${names.length === 1 ? names[0] : `${names.length} keys`} → ${describeValues(values)}`,
        );
        this.#kernel.after(outcome.replyMs, () => reply({ value: values }));
      });
    });
    const decoded = found.map((value) => decode(value, type));
    return typeof keys === "string"
      ? decoded[0]
      : new Map(names.map((name, index) => [name, decoded[index]]));
  }

  #view(place: number): number {
    return VIEWS * place + (this.#random.chance(SECOND_VIEW_SHARE) ? 1 : 0);
  }

  #read(view: number, key: string, cacheTtl: number): Value | null {
    const { now } = this.#kernel;
    const cache = this.#caches[view] as Map<string, CachedRead>;
    const cached = cache.get(key);
    const isFresh = cached && now - cached.fetchedAt < cacheTtl * 1000;
    const version = isFresh
      ? cached.version
      : this.#versions
          .get(key)
          ?.findLast(({ shownAt, storedAt }) => storedAt <= now && (shownAt[view] as number) <= now);
    if (!isFresh) cache.set(key, { fetchedAt: now, version });
    const value = alive(version, now);
    const isHidden = value === null && alive(this.#versions.get(key)?.at(-1), now) !== null;
    if (isHidden) this.#faults.noteHidden(key, Math.floor(view / VIEWS));
    return value;
  }

  async #put(key: string, value: unknown, options: { expirationTtl?: number } = {}): Promise<void> {
    checkKey(key);
    const { expirationTtl = Infinity } = options;
    if (expirationTtl < 60) throw new Error("KV PUT failed: 400 Invalid expiration_ttl");
    const stored = encode(value);
    await this.#write(key, stored, "PUT", this.#kernel.now + expirationTtl * 1000);
  }

  async #delete(key: string): Promise<void> {
    checkKey(key);
    await this.#write(key, null, "DELETE", Infinity);
  }

  #write(key: string, value: Value | null, verb: "PUT" | "DELETE", expiresAt: number): Promise<void> {
    return callRemote<void>(this.#kernel, (reply, caller) => {
      const outcome = this.#faults.drawWrite(this.#random);
      const replyLater = (result: Result<void>) => {
        if (outcome.reply !== "none") this.#kernel.after(this.#random.integer(5, 60), () => reply(result));
      };
      this.#kernel.after(outcome.ms, () => {
        if (this.#isRefused(key, verb, outcome)) {
          const error = new Error(`KV ${verb} failed: 429 Too Many Requests`);
          this.#note(caller, `${verb} ${key} → ${error.message}`);
          this.#faults.noteRefused();
          return replyLater({ error });
        }
        const suffix = outcome.reply === "success" ? "" : `, reply: ${outcome.reply}`;
        this.#note(caller, `${verb} ${key} ${describeValue(value)} stored${suffix}`);
        this.#store(key, value, expiresAt);
        this.#faults.noteStored(outcome);
        replyLater(
          outcome.reply === "error"
            ? { error: new Error(`KV ${verb} failed: 500 Internal Server Error`) }
            : { value: undefined },
        );
      });
      // The caller gets an error before or after the write is stored.
      if (outcome.errorAfterMs !== undefined) {
        this.#kernel.after(outcome.errorAfterMs, () =>
          reply({ error: new Error(`KV ${verb} failed: 504 Gateway Timeout`) }),
        );
      }
    });
  }

  #isRefused(key: string, verb: "PUT" | "DELETE", outcome: WriteOutcome): boolean {
    const { now } = this.#kernel;
    const isTooFrequent = now - (this.#lastWriteAt.get(key) ?? -Infinity) < 1000;
    const budget = `${verb} ${Math.floor(now / DAY_MS)}`;
    const spent = this.#spent.get(budget) ?? 0;
    if (outcome.isRefused || isTooFrequent) return true;
    if (this.#hasQuota && spent >= this.#options.operationsPerDay) {
      this.#faults.noteQuotaExhausted(now, (Math.floor(now / DAY_MS) + 1) * DAY_MS);
      return true;
    }
    this.#lastWriteAt.set(key, now);
    this.#spent.set(budget, spent + 1);
    return false;
  }

  #store(key: string, value: Value | null, expiresAt: number): void {
    const { now } = this.#kernel;
    const versions = (this.#versions.get(key) ?? []).filter(
      (version, index, all) => now - (all[index + 1] ?? version).storedAt < VERSIONS_KEPT_MS,
    );
    const shownAt = this.#caches.map(
      (_, view) => now + this.#faults.drawLagMs(Math.floor(view / VIEWS), now, this.#random),
    );
    versions.push({ value, storedAt: now, expiresAt, shownAt });
    this.#versions.set(key, versions);
  }

  #note(caller: Invocation, text: string): void {
    this.#kernel.note(`${caller.name}: kv ${text}`);
  }
}

function alive(version: Version | undefined, now: number): Value | null {
  return version && version.expiresAt > now ? version.value : null;
}

function checkKey(key: string): void {
  if (key === "" || key === "." || key === "..") throw new TypeError("Key name cannot be empty.");
  if (Buffer.byteLength(key) > KEY_MAX_BYTES)
    throw new Error("KV failed: 414 UTF-8 encoded length of key exceeds 512.");
}

function encode(value: unknown): Value {
  if (typeof value === "string") return value;
  const bytes = ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice()
    : new Uint8Array(value as ArrayBuffer).slice();
  if (bytes.byteLength > VALUE_MAX_BYTES)
    throw new Error("KV PUT failed: 413 Value length exceeds limit of 26214400.");
  return bytes;
}

function decode(value: Value | null, type: string): unknown {
  if (value === null) return null;
  const text = () => (typeof value === "string" ? value : new TextDecoder().decode(value));
  if (type === "text") return text();
  if (type === "json") return JSON.parse(text());
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value.slice();
  return type === "stream" ? new Blob([bytes]).stream() : bytes.buffer;
}

function describeValue(value: Value | null): string {
  return value === null
    ? ""
    : typeof value === "string"
      ? `"${value.slice(0, 40)}"`
      : `${value.byteLength} bytes`;
}

function describeValues(values: (Value | null)[]): string {
  const [first = null] = values;
  if (values.length > 1) return `${values.filter((value) => value !== null).length} hits`;
  return first === null ? "miss" : describeValue(first);
}
