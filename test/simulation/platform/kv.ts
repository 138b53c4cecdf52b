import type { Random } from "../random.ts";
import type { Kernel } from "./kernel.ts";
import type { Answer, Fate, KvWeather } from "./kv-weather.ts";
import type { Invocation } from "./process.ts";
import { askRemotely } from "./remote.ts";

type Value = string | Uint8Array;

/** What a key held from a moment on. */
interface Version {
  number: number;
  value: Value | null;
  landedAt: number;
  expiresAt: number;
  /** When each view of each place shows it. */
  shownAt: number[];
}

interface CachedRead {
  fetchedAt: number;
  version: Version | undefined;
}

export interface KvOptions {
  places: number;
  /** Writes, and as many deletions, that a day (UTC) takes. */
  operationsPerDay: number;
}

/** A place is many machines: who reads twice may be shown something newer, and then something older. */
const VIEWS = 2;
const SECOND_VIEW = 0.25;
const DAY_MS = 86_400_000;
const VERSIONS_KEPT_MS = 2 * DAY_MS;
const KEY_MAX_BYTES = 512;
const VALUE_MAX_BYTES = 25 * 1024 * 1024;
const BULK_MAX_KEYS = 100;

/** Workers KV: one store in the middle, and in every place a cache that is slow to learn of a write. */
export class KvNamespace {
  readonly weather: KvWeather;
  readonly #kernel: Kernel;
  readonly #random: Random;
  readonly #options: KvOptions;
  #isScarce = true;
  readonly #versions = new Map<string, Version[]>();
  readonly #caches: Map<string, CachedRead>[];
  readonly #lastWriteAt = new Map<string, number>();
  readonly #spent = new Map<string, number>();
  reads = 0;

  constructor(kernel: Kernel, weather: KvWeather, options: KvOptions) {
    this.#kernel = kernel;
    this.weather = weather;
    this.#options = options;
    this.#random = kernel.random.fork("kv");
    this.#caches = Array.from({ length: VIEWS * options.places }, () => new Map());
  }

  /** The namespace as the code in one place is given it. */
  binding(place: number) {
    return {
      get: (keys: string | string[], options?: unknown) => this.#get(place, keys, options),
      put: (key: string, value: unknown, options?: { expirationTtl?: number }) =>
        this.#put(place, key, value, options),
      delete: (key: string) => this.#delete(place, key),
      list: (options?: { prefix?: string | null; cursor?: string | null }) => this.#list(place, options),
    };
  }

  /** What lies in the middle, as nobody but the judge sees it. */
  contents(): Map<string, Value> {
    const contents = new Map<string, Value>();
    for (const [key, versions] of this.#versions) {
      const value = alive(versions.at(-1), this.#kernel.now);
      if (value !== null) contents.set(key, value);
    }
    return contents;
  }

  /** From now on every write is within the plan. */
  upgrade(): void {
    this.#isScarce = false;
  }

  /** Puts a value there by hand: everybody sees it. */
  fill(key: string, value: Value): void {
    this.#versions.set(key, [
      { number: 0, value, landedAt: 0, expiresAt: Infinity, shownAt: this.#caches.map(() => 0) },
    ]);
  }

  /** Empties the namespace by hand; places go on showing what they have cached. */
  empty(): void {
    for (const key of this.contents().keys()) this.#land(key, null, Infinity, true);
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

    const found = await askRemotely<(Value | null)[]>(this.#kernel, (answer, invocation) => {
      this.reads += 1;
      const fate = this.weather.ofRead(invocation.name, place, this.#random);
      if (fate.kind === "hang") return;
      this.#kernel.after(fate.ms, () => {
        if (fate.kind === "fail")
          return answer({ error: new Error("KV GET failed: 503 Service Unavailable") });
        const view = this.#view(place);
        const values = names.map((name) =>
          this.weather.isMissing(name, invocation.name, place) ? null : this.#read(view, name, cacheTtl),
        );
        this.#tell(
          invocation,
          `get ${names.length === 1 ? names[0] : `${names.length} keys`} → ${summary(values)}`,
        );
        this.#kernel.after(fate.answerMs, () => answer({ value: values }));
      });
    });
    const decoded = found.map((value) => decode(value, type));
    return typeof keys === "string"
      ? decoded[0]
      : new Map(names.map((name, index) => [name, decoded[index]]));
  }

  #view(place: number): number {
    return VIEWS * place + (this.#random.chance(SECOND_VIEW) ? 1 : 0);
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
          ?.findLast(({ shownAt, landedAt }) => landedAt <= now && (shownAt[view] as number) <= now);
    if (!isFresh) cache.set(key, { fetchedAt: now, version });
    const value = alive(version, now);
    const isStored = value === null && alive(this.#versions.get(key)?.at(-1), now) !== null;
    if (isStored) this.weather.hid(key, Math.floor(view / VIEWS));
    return value;
  }

  async #put(
    place: number,
    key: string,
    value: unknown,
    options: { expirationTtl?: number } = {},
  ): Promise<void> {
    checkKey(key);
    const { expirationTtl = Infinity } = options;
    if (expirationTtl < 60) throw new Error("KV PUT failed: 400 Invalid expiration_ttl");
    const stored = encode(value);
    await this.#write(place, key, stored, "PUT", this.#kernel.now + expirationTtl * 1000);
  }

  async #delete(place: number, key: string): Promise<void> {
    checkKey(key);
    await this.#write(place, key, null, "DELETE", Infinity);
  }

  #write(
    place: number,
    key: string,
    value: Value | null,
    verb: "PUT" | "DELETE",
    expiresAt: number,
  ): Promise<void> {
    return askRemotely<void>(this.#kernel, (answer, invocation) => {
      const fate = this.weather.ofWrite(key, place, this.#random);
      this.#kernel.after(fate.ms, () => {
        const error = this.#refusal(key, verb, fate);
        if (error) {
          this.#tell(invocation, `${verb} ${key} → ${error.message}`);
          this.weather.refused(key);
          return this.#answer(fate.answer, { error }, answer);
        }
        this.#tell(
          invocation,
          `${verb} ${key} ${sizeOf(value)} landed${fate.answer === "value" ? "" : `, ${fate.answer}`}`,
        );
        this.#land(key, value, expiresAt, false);
        this.weather.landed(key, fate);
        const outcome =
          fate.answer === "error"
            ? { error: new Error(`KV ${verb} failed: 500 Internal Server Error`) }
            : { value: undefined };
        this.#answer(fate.answer, outcome, answer);
      });
      // The writer learns of nothing, long before or after the write lands.
      if (fate.errorAfterMs !== undefined) {
        this.#kernel.after(fate.errorAfterMs, () =>
          answer({ error: new Error(`KV ${verb} failed: 504 Gateway Timeout`) }),
        );
      }
    });
  }

  #answer<T>(kind: Answer, outcome: T, answer: (outcome: T) => void): void {
    if (kind !== "never") this.#kernel.after(this.#random.integer(5, 60), () => answer(outcome));
  }

  #refusal(key: string, verb: "PUT" | "DELETE", fate: Fate): Error | undefined {
    const { now } = this.#kernel;
    const tooOften = now - (this.#lastWriteAt.get(key) ?? -Infinity) < 1000;
    const budget = `${verb} ${Math.floor(now / DAY_MS)}`;
    const spent = this.#spent.get(budget) ?? 0;
    if (fate.isRefused || tooOften || (this.#isScarce && spent >= this.#options.operationsPerDay)) {
      if (!fate.isRefused && !tooOften) this.weather.exhausted(now, (Math.floor(now / DAY_MS) + 1) * DAY_MS);
      return new Error(`KV ${verb} failed: 429 Too Many Requests`);
    }
    this.#lastWriteAt.set(key, now);
    this.#spent.set(budget, spent + 1);
    return undefined;
  }

  #land(key: string, value: Value | null, expiresAt: number, isByHand: boolean): void {
    const { now } = this.#kernel;
    const versions = (this.#versions.get(key) ?? []).filter(
      (version, index, all) => now - (all[index + 1] ?? version).landedAt < VERSIONS_KEPT_MS,
    );
    const number = (versions.at(-1)?.number ?? 0) + 1;
    const shownAt = this.#caches.map((_, view) =>
      isByHand ? now : now + this.weather.lag(Math.floor(view / VIEWS), now, this.#random),
    );
    versions.push({ number, value, landedAt: now, expiresAt, shownAt });
    this.#versions.set(key, versions);
  }

  /** A listing is as stale as reads are. */
  async #list(place: number, { prefix, cursor }: { prefix?: string | null; cursor?: string | null } = {}) {
    const names = await askRemotely<string[]>(this.#kernel, (answer, invocation) => {
      const fate = this.weather.ofRead(invocation.name, place, this.#random);
      if (fate.kind === "hang") return;
      this.#kernel.after(fate.ms + fate.answerMs, () => {
        if (fate.kind === "fail")
          return answer({ error: new Error("KV LIST failed: 503 Service Unavailable") });
        const { now } = this.#kernel;
        const view = this.#view(place);
        const shown = [...this.#versions].filter(
          ([key, versions]) =>
            key.startsWith(prefix ?? "") &&
            alive(
              versions.findLast(({ shownAt }) => (shownAt[view] as number) <= now),
              now,
            ) !== null,
        );
        answer({ value: shown.map(([key]) => key).sort() });
      });
    });
    const from = Number(cursor ?? 0);
    const keys = names.slice(from, from + 1000).map((name) => ({ name }));
    const isLast = from + 1000 >= names.length;
    return isLast
      ? { keys, list_complete: true, cacheStatus: null }
      : { keys, list_complete: false, cursor: String(from + 1000), cacheStatus: null };
  }

  #tell(invocation: Invocation, text: string): void {
    this.#kernel.note(`${invocation.name}: kv ${text}`);
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

function sizeOf(value: Value | null): string {
  return value === null
    ? ""
    : typeof value === "string"
      ? `"${value.slice(0, 40)}"`
      : `${value.byteLength} bytes`;
}

function summary(values: (Value | null)[]): string {
  const [first = null] = values;
  if (values.length > 1) return `${values.filter((value) => value !== null).length} hits`;
  return first === null ? "miss" : sizeOf(first);
}
