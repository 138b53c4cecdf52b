import type { Tables } from "./tables.ts";

/** The same question within this time is most likely a push that failed and is tried once more. */
const QUESTION_REMEMBERED_MS = 10 * 60 * 1000;
/** Of those that are asked most recently; 200 KB. */
const QUESTIONS_MAX = 1_000;

/** A question that came before. */
export interface Asked {
  /** ms since the epoch. */
  askedAt: number;
  /** Whether its answer claimed what only the cache knew. */
  isClaimed: boolean;
}

/** The questions of a caller, by their digests, in a table and at hand. */
export class Questions {
  static readonly TABLE =
    "CREATE TABLE IF NOT EXISTS questions (digest TEXT PRIMARY KEY, asked_at INTEGER NOT NULL, claimed INTEGER NOT NULL) WITHOUT ROWID;";
  readonly #tables: Tables;
  /** The one that was asked last comes last. */
  readonly #asked: Map<string, Asked>;

  constructor(tables: Tables) {
    this.#tables = tables;
    const rows = tables.read<{ digest: string; asked_at: number; claimed: number }>(
      "SELECT digest, asked_at, claimed FROM questions ORDER BY asked_at",
    );
    this.#asked = new Map(
      rows.map(({ digest, asked_at, claimed }) => [digest, { askedAt: asked_at, isClaimed: claimed === 1 }]),
    );
  }

  /** The same question of a short while ago. */
  recall(digest: string, now: number): Asked | undefined {
    const asked = this.#asked.get(digest);
    return asked && asked.askedAt > now - QUESTION_REMEMBERED_MS ? asked : undefined;
  }

  /** As one whose answer claims what only the cache knows, until `unclaim` says otherwise. */
  remember(digest: string, now: number): void {
    this.#asked.delete(digest);
    this.#asked.set(digest, { askedAt: now, isClaimed: true });
    this.#tables.put("INSERT OR REPLACE INTO questions VALUES (?, ?, 1)", digest, now);
    for (const oldest of this.#asked.keys()) {
      if (this.#asked.size <= QUESTIONS_MAX) break;
      this.#asked.delete(oldest);
      this.#tables.put("DELETE FROM questions WHERE digest = ?", oldest);
    }
  }

  unclaim(digest: string): void {
    const asked = this.#asked.get(digest);
    if (!asked) return;
    this.#asked.set(digest, { ...asked, isClaimed: false });
    this.#tables.put("UPDATE questions SET claimed = 0 WHERE digest = ?", digest);
  }

  dropOld(now: number): void {
    const old = now - QUESTION_REMEMBERED_MS;
    for (const [digest, { askedAt }] of this.#asked) if (askedAt <= old) this.#asked.delete(digest);
    this.#tables.put("DELETE FROM questions WHERE asked_at <= ?", old);
  }

  /** When the oldest has had its time, in ms since the epoch; Infinity where there is none. */
  clearAt(): number {
    const [oldest] = this.#asked.values();
    return oldest ? oldest.askedAt + QUESTION_REMEMBERED_MS : Number.POSITIVE_INFINITY;
  }

  /** The table has been deleted. */
  begin(): void {
    this.#asked.clear();
  }
}
