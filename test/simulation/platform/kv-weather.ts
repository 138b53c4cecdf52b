import type { Random } from "../random.ts";
import { Spans } from "../spans.ts";
import type { Kernel } from "./kernel.ts";

/** What the writer gets to hear. */
export type Answer = "value" | "error" | "never";

export interface Fate {
  /** Until it lands, or is refused. */
  ms: number;
  isRefused: boolean;
  answer: Answer;
  /** The writer hears of a failure after this time, wherever the write is. */
  errorAfterMs?: number;
}

export type ReadFate = { ms: number; answerMs: number; kind: "value" | "fail" } | { kind: "hang" };

export type ReadTrouble = "fail" | "hang" | "slow";

/** A time in which KV does not do what it promises. */
export type KvTrouble = { from: number; until: number; share: number } & (
  | { kind: "reads"; place: number; how: ReadTrouble }
  | { kind: "writes"; how: "refuse" | "fail" | "fail-landed" | "late" | "hang" }
  | { kind: "lag"; place: number; ms: number }
);

/** A write is seen in every place within this time: KV's promise. */
const LAG_MAX_MS = 60_000;
/** A write that takes no longer to land is not late. */
const WRITE_MAX_MS = 1_000;

/** Values that are written once, under a new name. */
const IMMUTABLE_OBJECT = /(snapshot|delta)\//;
const MANIFEST = /(^|\/)manifest$/;
/** A request, and what goes on behind its answer, take no longer. */
const BEFALLEN_MAX_MS = 120_000;

/** A miss stays cached, and an isolate does not try again at once. */
const HIDDEN_AGAIN_MS = 65_000;
/** So long an isolate may go without the manifest that it did not get. */
const MISSING_MAX_MS = 65_000;

/** How KV is at each moment: well, but for its troubles. It keeps account of when it broke its promises. */
export class KvWeather {
  readonly #kernel: Kernel;
  readonly #troubles: KvTrouble[] = [];
  /** When writes were refused, or landed late; and in each place, when something showed late. */
  readonly #writesBroken = new Spans();
  readonly #readsBroken: Spans[];
  readonly #lateIn: Spans[];
  readonly #hidingUntil: number[] = [];
  /** What befalls the reads of one request alone, by its name. */
  readonly #requests = new Map<string, ReadTrouble>();
  /** Reads of the manifest that are to find nothing: the next one of a place, or of one request. */
  readonly #missing: { place: number; reader: string | undefined }[] = [];

  constructor(kernel: Kernel, places: number) {
    this.#kernel = kernel;
    this.#readsBroken = Array.from({ length: places }, () => new Spans());
    this.#lateIn = Array.from({ length: places }, () => new Spans());
  }

  add(trouble: KvTrouble): void {
    this.#troubles.push(trouble);
    if (trouble.kind === "reads") this.#readsBroken[trouble.place]?.add(trouble.from, trouble.until);
    if (trouble.kind === "writes") this.#writesBroken.add(trouble.from, trouble.until);
  }

  /** Has the reads of one request fail, hang or crawl, and of no other. */
  befall(request: string, place: number, how: ReadTrouble): void {
    this.#requests.set(request, how);
    this.#readsBroken[place]?.add(this.#kernel.now, this.#kernel.now + BEFALLEN_MAX_MS);
  }

  /** Has the next read of the manifest find nothing: in a place, or by one request. */
  loseManifest(place: number, reader?: string): void {
    this.#missing.push({ place, reader });
  }

  /** Reads find again what is stored. */
  spare(): void {
    this.#missing.length = 0;
  }

  /** Whether a read finds nothing, whatever is stored. */
  isMissing(key: string, reader: string, place: number): boolean {
    if (this.#missing.length === 0 || !MANIFEST.test(key)) return false;
    const index = this.#missing.findIndex(
      (each) => each.place === place && (each.reader ?? reader) === reader,
    );
    if (index < 0) return false;
    this.#missing.splice(index, 1);
    this.#readsBroken[place]?.add(this.#kernel.now, this.#kernel.now + MISSING_MAX_MS);
    return true;
  }

  /** @param reader the name of the request that reads */
  ofRead(reader: string, place: number, random: Random): ReadFate {
    const trouble = this.#now().find(
      (each) => each.kind === "reads" && each.place === place && random.chance(each.share),
    );
    const ms = random.integer(1, 30);
    const answerMs = random.integer(1, 30);
    const how = this.#requests.get(reader) ?? (trouble?.kind === "reads" ? trouble.how : undefined);
    if (how === undefined) return { kind: "value", ms, answerMs };
    if (how === "hang") return { kind: "hang" };
    if (how === "fail") return { kind: "fail", ms: random.integer(1, 5_000), answerMs };
    return { kind: "value", ms: random.integer(1, 15_000), answerMs: random.integer(1, 45_000) };
  }

  ofWrite(_key: string, _place: number, random: Random): Fate {
    const ms = random.integer(10, 300);
    const fate = { ms, isRefused: false, answer: "value" as Answer };
    const trouble = this.#now().find((each) => each.kind === "writes" && random.chance(each.share));
    if (trouble?.kind !== "writes") return fate;
    switch (trouble.how) {
      case "refuse":
        return { ...fate, isRefused: true, answer: "error" };
      case "fail":
        return { ...fate, isRefused: true, answer: random.chance(0.8) ? "error" : "never" };
      case "fail-landed":
        return { ...fate, answer: random.chance(0.8) ? "error" : "never" };
      case "late":
        return {
          ...fate,
          ms: random.integer(1_000, 120_000),
          answer: "never",
          errorAfterMs: random.integer(50, 20_000),
        };
      case "hang":
        return { ...fate, isRefused: random.chance(0.5), answer: "never" };
    }
  }

  /** How long a write that lands now is not seen in a place. */
  lag(place: number, now: number, random: Random): number {
    const promised = random.chance(0.2) ? random.integer(0, 1_000) : random.integer(0, LAG_MAX_MS);
    const trouble = this.#now().find(
      (each) => each.kind === "lag" && each.place === place && random.chance(each.share),
    );
    if (trouble?.kind !== "lag") return promised;
    const lag = LAG_MAX_MS + random.integer(0, trouble.ms);
    this.#lateIn[place]?.add(now + LAG_MAX_MS, now + lag);
    return lag;
  }

  /** A place has not shown a value that is stored: it may show the manifest that names it before. */
  hid(key: string, place: number): void {
    if (IMMUTABLE_OBJECT.test(key)) this.#hidingUntil[place] = this.#kernel.now + HIDDEN_AGAIN_MS;
  }

  /** Whether a place has shown a manifest a short while ago, and not yet what that names. */
  isHiding(place: number, now: number): boolean {
    return now < (this.#hidingUntil[place] ?? 0);
  }

  landed(_key: string, { ms }: Fate): void {
    if (ms > WRITE_MAX_MS) this.#writesBroken.add(this.#kernel.now - ms, this.#kernel.now);
  }

  refused(_key: string): void {
    this.#writesBroken.add(this.#kernel.now, this.#kernel.now + WRITE_MAX_MS);
  }

  /** The day's operations are spent. */
  exhausted(from: number, until: number): void {
    this.#writesBroken.add(from, until);
  }

  /** Ms within a time in which writes were refused or late, or this place was late to show them. */
  lateness(place: number, from: number, until: number): number {
    return this.#writesBroken.joined(this.#lateIn[place]).lengthWithin(from, until);
  }

  /** Since when all promises have been kept, as far as this place is concerned; in the future where they are not. */
  wellSince(place: number, now: number): number {
    return Math.max(
      this.#writesBroken.lastEnd(now),
      this.#lateIn[place]?.lastEnd(now) ?? 0,
      this.#readsBroken[place]?.lastEnd(now) ?? 0,
    );
  }

  /** Since when reads in a place have not failed, hung or crawled. */
  readsWellSince(place: number, now: number): number {
    return this.#readsBroken[place]?.lastEnd(now) ?? -Infinity;
  }

  #now(): KvTrouble[] {
    const { now } = this.#kernel;
    return this.#troubles.filter(({ from, until }) => from <= now && now < until);
  }
}
