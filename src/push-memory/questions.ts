/** The same question within this time is most likely a push that failed and is tried once more. */
const QUESTION_REMEMBERED_MS = 10 * 60 * 1000;
/** Of those that are asked most recently; 100 KB. */
const QUESTIONS_MAX = 1_000;

/** A question that came before. */
export interface Asked {
  /** 1 where its answer claimed what only the cache knew. */
  claimed: number;
  /** ms since the epoch. */
  asked_at: number;
}

/** The questions of a caller, by their digests, in a table. */
export class Questions {
  static readonly TABLE = `
    CREATE TABLE IF NOT EXISTS questions (digest TEXT PRIMARY KEY, asked_at INTEGER NOT NULL, claimed INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS by_time ON questions (asked_at);
  `;
  readonly #sql: SqlStorage;
  /** How many the table may hold, at most. */
  #count: number;

  /** @param sql with the table */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#count = this.#counted();
  }

  /** The same question of a short while ago. */
  recall(digest: string, now: number): Asked | undefined {
    const query = "SELECT claimed, asked_at FROM questions WHERE digest = ? AND asked_at > ?";
    return this.#sql
      .exec<Asked & Record<string, number>>(query, digest, now - QUESTION_REMEMBERED_MS)
      .toArray()[0];
  }

  /** As one whose answer claims what only the cache knows, until `unclaim` says otherwise. */
  remember(digest: string, now: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO questions VALUES (?, ?, 1)", digest, now);
    this.#count += 1;
    if (this.#count > QUESTIONS_MAX) this.#dropAllButLatest();
  }

  unclaim(digest: string): void {
    this.#sql.exec("UPDATE questions SET claimed = 0 WHERE digest = ?", digest);
  }

  dropOld(now: number): void {
    this.#sql.exec("DELETE FROM questions WHERE asked_at <= ?", now - QUESTION_REMEMBERED_MS);
  }

  /** When the oldest has had its time, in ms since the epoch; Infinity where there is none. */
  clearAt(): number {
    const query = "SELECT MIN(asked_at) AS first FROM questions";
    const { first } = this.#sql.exec<{ first: number | null }>(query).one();
    return first === null ? Number.POSITIVE_INFINITY : first + QUESTION_REMEMBERED_MS;
  }

  /** The table has been deleted. */
  begin(): void {
    this.#count = 0;
  }

  #dropAllButLatest(): void {
    this.#sql.exec(
      "DELETE FROM questions WHERE digest IN (SELECT digest FROM questions ORDER BY asked_at DESC LIMIT -1 OFFSET ?)",
      QUESTIONS_MAX,
    );
    this.#count = this.#counted();
  }

  #counted(): number {
    return this.#sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM questions").one().count;
  }
}
