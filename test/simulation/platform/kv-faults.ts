import type { Random } from "../random.ts";
import { Spans } from "../spans.ts";
import type { Kernel } from "./kernel.ts";

/** What the caller of a write gets. "none": the call hangs. */
export type WriteReply = "success" | "error" | "none";

export interface WriteOutcome {
  /** Until the write is stored or refused. */
  ms: number;
  isRefused: boolean;
  reply: WriteReply;
  /** The caller gets an error after this time, before or after the write is stored. */
  errorAfterMs?: number;
}

export type ReadOutcome = { kind: "value" | "fail"; ms: number; replyMs: number } | { kind: "hang" };

export type ReadFault = "fail" | "hang" | "slow";

/** A time in which KV breaks its promises. */
export type KvFault = { from: number; until: number; share: number } & (
  | { kind: "reads"; place: number; how: ReadFault }
  | { kind: "writes"; how: "refuse" | "fail" | "fail-after-write" | "late" | "hang" }
  | { kind: "lag"; place: number; ms: number }
);

/** KV promises that every place shows a write within this time. */
const LAG_MAX_MS = 60_000;
/** A write that is stored later is late. */
const WRITE_MAX_MS = 1_000;

/** Objects that are written once, under a new name. */
const IMMUTABLE_OBJECT = /(snapshot|delta)\//;
const MANIFEST = /(^|\/)manifest$/;
/** A request and its work after the response end within this time. */
const REQUEST_MAX_MS = 120_000;

/** KV caches a miss, and an isolate does not retry immediately. */
const HIDDEN_MS = 65_000;
/** An isolate may be without a manifest for this long after a read that returned none. */
const MANIFEST_MISS_MS = 65_000;

/** Draws the outcomes of KV's reads and writes, and records when KV broke its promises. */
export class KvFaults {
  readonly #kernel: Kernel;
  readonly #faults: KvFault[] = [];
  /** When writes were refused or late. */
  readonly #writeFaults = new Spans();
  /** For each place, when reads failed, hung or were slow. */
  readonly #readFaults: Spans[];
  /** For each place, when it showed a write too late. */
  readonly #lateWrites: Spans[];
  /** For each place, until when a manifest may be visible before the objects that it names. */
  readonly #hidingUntil: number[] = [];
  /** Faults of all reads of one request, by its name. */
  readonly #requests = new Map<string, ReadFault>();
  /** Reads of the manifest that return nothing: the next of a place, or the next of one request. */
  readonly #manifestMisses: { place: number; reader: string | undefined }[] = [];

  constructor(kernel: Kernel, places: number) {
    this.#kernel = kernel;
    this.#readFaults = Array.from({ length: places }, () => new Spans());
    this.#lateWrites = Array.from({ length: places }, () => new Spans());
  }

  add(fault: KvFault): void {
    this.#faults.push(fault);
    if (fault.kind === "reads") this.#readFaults[fault.place]?.add(fault.from, fault.until);
    if (fault.kind === "writes") this.#writeFaults.add(fault.from, fault.until);
  }

  /** Affects all reads of one request, and no others. */
  failReadsOf(request: string, place: number, how: ReadFault): void {
    this.#requests.set(request, how);
    this.#readFaults[place]?.add(this.#kernel.now, this.#kernel.now + REQUEST_MAX_MS);
  }

  /** The next read of the manifest in a place, by any or by one reader, returns nothing. */
  missManifest(place: number, reader?: string): void {
    this.#manifestMisses.push({ place, reader });
  }

  /** Cancels the planned misses of the manifest. */
  clearFaults(): void {
    this.#manifestMisses.length = 0;
  }

  /** Whether a read must return nothing. */
  isMiss(key: string, reader: string, place: number): boolean {
    if (this.#manifestMisses.length === 0 || !MANIFEST.test(key)) return false;
    const index = this.#manifestMisses.findIndex(
      (miss) => miss.place === place && (miss.reader ?? reader) === reader,
    );
    if (index < 0) return false;
    this.#manifestMisses.splice(index, 1);
    this.#readFaults[place]?.add(this.#kernel.now, this.#kernel.now + MANIFEST_MISS_MS);
    return true;
  }

  /** @param reader the name of the request that reads */
  drawRead(reader: string, place: number, random: Random): ReadOutcome {
    const fault = this.#current().find(
      (each) => each.kind === "reads" && each.place === place && random.chance(each.share),
    );
    const ms = random.integer(1, 30);
    const replyMs = random.integer(1, 30);
    const how = this.#requests.get(reader) ?? (fault?.kind === "reads" ? fault.how : undefined);
    switch (how) {
      case undefined:
        return { kind: "value", ms, replyMs };
      case "hang":
        return { kind: "hang" };
      case "fail":
        return { kind: "fail", ms: random.integer(1, 5_000), replyMs };
      case "slow":
        return { kind: "value", ms: random.integer(1, 15_000), replyMs: random.integer(1, 45_000) };
    }
  }

  drawWrite(random: Random): WriteOutcome {
    const ms = random.integer(10, 300);
    const fault = this.#current().find((each) => each.kind === "writes" && random.chance(each.share));
    if (fault?.kind !== "writes") return { ms, isRefused: false, reply: "success" };
    switch (fault.how) {
      case "refuse":
        return { ms, isRefused: true, reply: "error" };
      case "fail":
        return { ms, isRefused: true, reply: random.chance(0.8) ? "error" : "none" };
      case "fail-after-write":
        return { ms, isRefused: false, reply: random.chance(0.8) ? "error" : "none" };
      case "late":
        return {
          ms: random.integer(1_000, 120_000),
          isRefused: false,
          reply: "none",
          errorAfterMs: random.integer(50, 20_000),
        };
      case "hang":
        return { ms, isRefused: random.chance(0.5), reply: "none" };
    }
  }

  /** @returns the ms until a place shows a write that is stored now */
  drawLagMs(place: number, now: number, random: Random): number {
    const promisedMs = random.chance(0.2) ? random.integer(0, 1_000) : random.integer(0, LAG_MAX_MS);
    const fault = this.#current().find(
      (each) => each.kind === "lag" && each.place === place && random.chance(each.share),
    );
    if (fault?.kind !== "lag") return promisedMs;
    const lagMs = LAG_MAX_MS + random.integer(0, fault.ms);
    this.#lateWrites[place]?.add(now + LAG_MAX_MS, now + lagMs);
    return lagMs;
  }

  /** A place has not returned a value that is stored. It may show a manifest that names the value. */
  noteHidden(key: string, place: number): void {
    if (IMMUTABLE_OBJECT.test(key)) this.#hidingUntil[place] = this.#kernel.now + HIDDEN_MS;
  }

  /** Whether a place may show a manifest, but not the objects that it names. */
  isHidingObjects(place: number, now: number): boolean {
    return now < (this.#hidingUntil[place] ?? 0);
  }

  noteStored({ ms }: WriteOutcome): void {
    if (ms > WRITE_MAX_MS) this.#writeFaults.add(this.#kernel.now - ms, this.#kernel.now);
  }

  noteRefused(): void {
    this.#writeFaults.add(this.#kernel.now, this.#kernel.now + WRITE_MAX_MS);
  }

  noteQuotaExhausted(from: number, until: number): void {
    this.#writeFaults.add(from, until);
  }

  /** The part of a time in which writes were refused or late, or this place showed a write too late. */
  delayMs(place: number, from: number, until: number): number {
    return this.#writeFaults.union(this.#lateWrites[place]).lengthWithin(from, until);
  }

  /** Since when KV has kept its promises in a place; in the future if it does not keep them now. */
  healthySince(place: number, now: number): number {
    return Math.max(
      this.#writeFaults.lastEnd(now),
      this.#lateWrites[place]?.lastEnd(now) ?? 0,
      this.#readFaults[place]?.lastEnd(now) ?? 0,
    );
  }

  /** Since when no read in a place has failed, hung or been slow. */
  readsHealthySince(place: number, now: number): number {
    return this.#readFaults[place]?.lastEnd(now) ?? -Infinity;
  }

  #current(): KvFault[] {
    const { now } = this.#kernel;
    return this.#faults.filter(({ from, until }) => from <= now && now < until);
  }
}
