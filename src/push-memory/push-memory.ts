import { DurableObject } from "cloudflare:workers";
import { countOf } from "../bytes/marks.ts";
import type { Env } from "../configuration.ts";
import { Questions } from "./questions.ts";
import { RUNNING_MS, RunningPushes } from "./running-pushes.ts";
import { StoredTellings } from "./stored-tellings.ts";
import { TableWriter } from "./table-writer.ts";
import { Tables } from "./tables.ts";
import { CONTENT_BYTES, STORED_MS, Tellings, TOLD_YES, UNTOLD, wordsOf } from "./tellings.ts";
import { Times } from "./times.ts";

const DEFINITION = `
  ${StoredTellings.TABLE}
  ${Questions.TABLE}
  ${Times.TABLE}
`;

/** What a caller's memory says of a request. */
export interface Recalled {
  /** Of each content what earlier requests of the push were told. */
  told: Uint8Array;
  /** Of each content 1 where a push that is running relies on a yes: it stands even if it is denied. */
  relied: Uint8Array;
  /** Whether the same question came a short while ago, and its answer claimed what only the cache knew. */
  isDoubtful: boolean;
  /** What was told until then has been forgotten, since a new push has begun; ms since the epoch. */
  forgottenAt: number;
}

/**
 * One push, one answer: a Durable Object for each caller, which remembers what the requests of a push were told. Contents
 * are 8 bytes each, in a row.
 */
export class PushMemory extends DurableObject<Env> {
  readonly #tables: Tables;
  readonly #writer: TableWriter;
  readonly #stored: StoredTellings;
  readonly #tellings: Tellings;
  readonly #times: Times;
  readonly #questions: Questions;
  readonly #running: RunningPushes;
  /** When the last question of 5,000 was asked, which may not be answered yet; ms since the epoch. */
  #askedAt = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#tables = new Tables(ctx.storage, DEFINITION);
    this.#writer = new TableWriter(ctx.storage, this.#tables, () => this.#clearAt());
    this.#stored = new StoredTellings(this.#tables);
    this.#times = new Times(this.#tables);
    this.#questions = new Questions(this.#tables);
    const stored = this.#stored.all();
    this.#tellings = new Tellings(stored, this.#times.get("unstored_until"));
    this.#running = new RunningPushes(stored, this.#times.get("begun_at"));
  }

  /**
   * What is remembered of a request's contents. The question is remembered too, as one that the cache answers: until
   * `unclaimed` says otherwise.
   *
   * @param digest of the question
   * @param isLast whether the push asks for nothing after that
   */
  async ask(contents: Uint8Array, digest: string, isLast: boolean): Promise<Recalled> {
    const now = Date.now();
    const before = this.#questions.recall(digest, now);
    let told = this.#tellings.recall(contents, now);
    const known = told.length - countOf(told, UNTOLD);
    const lastAt = Math.max(this.#askedAt, this.#times.get("full_request_at"));
    // The push that has begun last goes on, however slow its client, as long as it asks nothing twice.
    const begunAt = now - lastAt < STORED_MS ? this.#times.get("begun_at") : 0;
    const isContinued = begunAt > 0 && (before === undefined || before.askedAt < begunAt);
    // Another push than the one that was told, unless one is still running: beside this one or as this one.
    const isOfNewPush = !isContinued && (before !== undefined || known > told.length / 2);
    const isForgotten = isOfNewPush && now - lastAt >= RUNNING_MS;
    if (isForgotten) {
      this.#forget(now);
      told = this.#tellings.recall(contents, now);
    }
    this.#questions.remember(digest, now);
    const forgottenAt = this.#times.get("forgotten_at");
    if (!isLast) {
      this.#running.begin(digest, before !== undefined && !isContinued, now);
      if (this.#times.get("begun_at") === 0 || now - lastAt >= STORED_MS) this.#times.set("begun_at", now);
      this.#askedAt = now;
    }
    const relied = this.#running.relied(contents, now);
    if (isLast) this.#end();
    // Nothing rests on the question of a last request. Of any other the object that is told may be another than was asked.
    if (isLast && !isForgotten) this.#writer.writeLater();
    else await this.#writer.write();
    return { relied, told, isDoubtful: before?.isClaimed === true, forgottenAt };
  }

  /**
   * Settles what a request of several is told, and remembers it: what was told before stands.
   *
   * @param found of each content `TOLD_YES` or `TOLD_NO`, or `UNTOLD` where the look-up has failed
   */
  async tell(contents: Uint8Array, found: Uint8Array): Promise<Uint8Array> {
    const now = Date.now();
    const unstoredUntil = this.#tellings.unstoredUntil;
    const { settled, stored } = this.#tellings.settle(contents, found, now);
    this.#times.set("full_request_at", now);
    this.#running.rely(wordsOf(contents, settled, TOLD_YES), now);
    if (stored) this.#stored.store(stored);
    if (this.#tellings.unstoredUntil !== unstoredUntil) {
      this.#times.set("unstored_until", this.#tellings.unstoredUntil);
    }
    await this.#writer.write();
    return settled;
  }

  /**
   * The Cloud Controller lacks these contents: a yes that was told of them was wrong.
   *
   * @returns of each content 1 where the yes stands all the same, since a push has come to rely on it meanwhile
   */
  async deny(contents: Uint8Array): Promise<Uint8Array> {
    const relied = this.#running.relied(contents, Date.now());
    const free = contents.filter((_, byte) => relied[Math.floor(byte / CONTENT_BYTES)] === 0);
    await this.revoke(free);
    return relied;
  }

  /** A yes of these contents was settled, and is not told after all. */
  async revoke(contents: Uint8Array): Promise<void> {
    if (contents.length > 0) this.#stored.store(this.#tellings.deny(contents, Date.now()));
    await this.#writer.write();
  }

  /** A push has asked for all of its files. */
  async complete(): Promise<void> {
    this.#end();
    this.#writer.writeLater();
  }

  /** Nothing of the answer came from the cache: asked again, the question is no sign that it was wrong. */
  async unclaimed(digest: string): Promise<void> {
    this.#questions.unclaim(digest);
    this.#writer.writeLater();
  }

  /** Nothing is kept for longer than ten minutes. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#writer.alarmHasCome();
    this.#tellings.dropBefore(now - STORED_MS);
    this.#running.dropOld(now);
    this.#stored.dropBefore(now - STORED_MS);
    this.#questions.dropOld(now);
    if (this.#times.get("unstored_until") <= now) this.#times.drop("unstored_until");
    await this.#writer.write();
    if (this.#clearAt() < Number.POSITIVE_INFINITY) return;
    this.#times.begin();
    this.#questions.begin();
    await this.#tables.delete();
  }

  /** A request of fewer than 5,000 may be the end of a push. */
  #end(): void {
    if (this.#running.end()) this.#times.drop("begun_at");
  }

  #forget(now: number): void {
    this.#times.set("forgotten_at", now);
    this.#tellings.forget();
    this.#running.forget();
    this.#times.drop("begun_at");
    this.#stored.forget();
    this.#times.drop("unstored_until");
  }

  /** When the oldest of what is kept has had its time, in ms since the epoch; Infinity where nothing is kept. */
  #clearAt(): number {
    const unstored = this.#times.get("unstored_until") || Number.POSITIVE_INFINITY;
    return Math.min(this.#stored.clearAt(), this.#questions.clearAt(), unstored);
  }
}
