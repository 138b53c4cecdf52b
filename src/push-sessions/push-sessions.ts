import { DurableObject } from "cloudflare:workers";
import type { Env } from "../configuration.ts";
import { causeOf, createLog } from "../observability/log.ts";
import { type Migration, migrate } from "../storage/schema.ts";
import { RETRY_MS, SESSION_IDLE_MAX_MS } from "../time/time-guarantees.ts";
import { type Decided, Decisions, MATCH, NO_MATCH } from "./decisions.ts";
import { isExpired } from "./expiry.ts";
import type { Inspection, PushSessionsApi } from "./push-sessions-api.ts";

/** Requests of a session whose decisions are stored, 45 KB each. An inspection returns all of them. */
const BATCHES_MAX = 90;
/** Until a write is on disk, it delays all replies of the object. So writes that no reply depends on are combined, once a second. */
const WRITE_DELAY_MS = 1_000;

/** Version 1. */
const TABLES = `
  CREATE TABLE IF NOT EXISTS sessions (
    push_id TEXT PRIMARY KEY,        -- empty in the session of all unidentified requests
    is_identified INTEGER NOT NULL,
    is_full INTEGER NOT NULL,
    first_at INTEGER NOT NULL,       -- ms since the epoch
    last_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS decisions (
    push_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    contents BLOB NOT NULL,          -- 8 bytes each, in the order of the request
    marks BLOB NOT NULL,             -- a byte each
    PRIMARY KEY (push_id, request_id)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS requests (
    fingerprint TEXT NOT NULL,
    push_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    is_retry INTEGER NOT NULL,       -- 1 if a retry was suspected
    PRIMARY KEY (fingerprint, push_id, request_id)
  ) WITHOUT ROWID;
`;

export const PUSH_SESSION_MIGRATIONS: readonly Migration[] = [
  { usableFrom: 1, run: (sql) => sql.exec(TABLES) },
];

type SessionRow = { is_identified: number; is_full: number; first_at: number; last_at: number };
type DecisionsRow = { request_id: string; decided_at: number; contents: ArrayBuffer; marks: ArrayBuffer };
type RequestRow = Record<"fingerprint" | "push_id" | "request_id", string> &
  Record<"at" | "is_retry", number>;

/** The push sessions of one caller. They store the decisions for the contents of each push, so that its requests agree. */
export class PushSessions extends DurableObject<Env> implements PushSessionsApi {
  readonly #log = createLog({ object: "push-sessions" });
  readonly #storage: DurableObjectStorage;
  #hasTables: boolean;
  #hasAlarm = false;
  /** Requests that are not on disk yet. */
  #unwritten: RequestRow[] = [];
  #isWriteDue = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = ctx.storage;
    const query = "SELECT 1 FROM sqlite_master WHERE name = 'sessions'";
    this.#hasTables = ctx.storage.sql.exec(query).toArray().length > 0;
    if (this.#hasTables) ctx.storage.transactionSync(() => migrate(ctx.storage.sql, PUSH_SESSION_MIGRATIONS));
    ctx.blockConcurrencyWhile(async () => {
      this.#hasAlarm = (await ctx.storage.getAlarm()) !== null;
    });
  }

  async inspect(pushId: string, fingerprint: string, requestId: string): Promise<Inspection> {
    const now = Date.now();
    const { isRetry, isRepeated } = this.#recordRequest(pushId, fingerprint, requestId, now);
    this.#writeLater();
    return { retrySuspected: isRetry, session: this.#renewSession(pushId, isRepeated, now) };
  }

  async decide(
    pushId: string,
    fingerprint: string,
    requestId: string,
    contents: Uint8Array<ArrayBuffer>,
    found: Uint8Array,
    isVerified: boolean,
  ): Promise<Decided | Inspection> {
    const now = Date.now();
    const { isRetry, isRepeated } = this.#recordRequest(pushId, fingerprint, requestId, now);
    const { firstAt, ...session } = this.#renewSession(pushId, isRepeated, now);
    if (isRetry && !isVerified) {
      this.#writeLater();
      return { retrySuspected: true, session };
    }
    const own = session.batches.find((batch) => batch.requestId === requestId);
    const others = session.batches.filter((batch) => batch !== own);
    const isFull = session.isFull || others.length === BATCHES_MAX;
    const earlier = new Decisions({ ...session, isFull, batches: others });
    const decided = earlier.resolve(contents, found, now);
    const { decisions } = decided;
    // If the call is repeated, a "no match" of either call wins.
    own?.marks.forEach((mark, index) => {
      if (mark === NO_MATCH) decisions[index] = NO_MATCH;
    });
    const before = isFull ? earlier.marksFor(contents) : decisions;
    // A full session still stores that a match has become "no match".
    const isStored = !isFull || before.some((mark, index) => mark === MATCH && decisions[index] === NO_MATCH);
    await this.#write((sql) => {
      if (firstAt === undefined) sql.exec("DELETE FROM decisions WHERE push_id = ?", pushId);
      const isIdentified = session.isIdentified ? 1 : 0;
      const insertSession = `INSERT OR REPLACE INTO sessions (push_id, is_identified, is_full, first_at, last_at)
        VALUES (?, ?, ?, ?, ?)`;
      sql.exec(insertSession, pushId, isIdentified, isFull ? 1 : 0, firstAt ?? now, now);
      if (!isStored) return;
      const insertDecisions = `INSERT OR REPLACE INTO decisions (push_id, request_id, decided_at, contents, marks)
        VALUES (?, ?, ?, ?, ?)`;
      sql.exec(insertDecisions, pushId, requestId, now, contents.slice().buffer, decisions.buffer);
    });
    return decided;
  }

  /** Deletes expired rows, and the tables once they are empty. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#hasAlarm = false;
    await this.#write((sql) => {
      sql.exec("DELETE FROM requests WHERE at <= ?", now - RETRY_MS);
      sql.exec("DELETE FROM sessions WHERE last_at < ?", now - SESSION_IDLE_MAX_MS);
      sql.exec("DELETE FROM decisions WHERE push_id NOT IN (SELECT push_id FROM sessions)");
    });
    const rows = this.#read("SELECT 1 FROM sessions UNION ALL SELECT 1 FROM requests LIMIT 1");
    if (rows.length > 0 || this.#unwritten.length > 0) return;
    this.#hasTables = false;
    this.#hasAlarm = false;
    await Promise.all([this.#storage.deleteAlarm(), this.#storage.deleteAll()]);
  }

  /** Records a request, unless this is a repeated call. */
  #recordRequest(pushId: string, fingerprint: string, requestId: string, now: number) {
    const since = now - RETRY_MS;
    const sameRequests = "FROM requests WHERE fingerprint = ?1";
    const query = `SELECT
      (SELECT is_retry ${sameRequests} AND push_id = ?2 AND request_id = ?3) AS recorded,
      EXISTS (SELECT 1 ${sameRequests} AND push_id = ?2 AND request_id <> ?3 AND at > ?4) AS is_repeated,
      EXISTS (SELECT 1 ${sameRequests} AND request_id <> ?3 AND at > ?4) AS is_retry`;
    type Stored = { recorded: number | null; is_repeated: number; is_retry: number };
    const [stored] = this.#read<Stored>(query, fingerprint, pushId, requestId, since);
    const same = this.#unwritten.filter((row) => row.fingerprint === fingerprint);
    const others = same.filter((row) => row.request_id !== requestId && row.at > since);
    const recorded = stored?.recorded ?? same.find((row) => row.request_id === requestId)?.is_retry;
    const is_retry = recorded ?? (stored?.is_retry || others.length > 0 ? 1 : 0);
    if (recorded === undefined) {
      this.#unwritten.push({ fingerprint, push_id: pushId, request_id: requestId, at: now, is_retry });
    }
    const isRepeated = stored?.is_repeated === 1 || others.some((row) => row.push_id === pushId);
    return { isRetry: is_retry === 1, isRepeated };
  }

  /**
   * Reads the session of a push, and keeps it alive.
   *
   * @param isRepeated whether the push sent this request before. Then several pushes have its id, and it identifies none of them
   */
  #renewSession(pushId: string, isRepeated: boolean, now: number) {
    const isIdentified = pushId !== "" && !isRepeated;
    const [row] = this.#read<SessionRow>("SELECT * FROM sessions WHERE push_id = ?", pushId);
    const wasIdentified = row?.is_identified === 1;
    const times = row && { isIdentified: wasIdentified, firstAt: row.first_at, lastAt: row.last_at };
    if (!times || isExpired(times, now)) return { isIdentified, isFull: false, batches: [] };
    if (wasIdentified) {
      const update = "UPDATE sessions SET last_at = ?, is_identified = ? WHERE push_id = ?";
      this.#storage.sql.exec(update, now, isIdentified ? 1 : 0, pushId);
    }
    const query = "SELECT * FROM decisions WHERE push_id = ?";
    const batches = this.#read<DecisionsRow>(query, pushId).map((each) => ({
      requestId: each.request_id,
      decidedAt: each.decided_at,
      contents: new Uint8Array(each.contents),
      marks: new Uint8Array(each.marks),
    }));
    const { firstAt } = times;
    return { firstAt, isIdentified: wasIdentified && isIdentified, isFull: row.is_full === 1, batches };
  }

  #read<Row extends Record<string, SqlStorageValue>>(query: string, ...values: SqlStorageValue[]): Row[] {
    return this.#hasTables ? this.#storage.sql.exec<Row>(query, ...values).toArray() : [];
  }

  /** Runs `change`, and stores the unwritten requests, in one transaction. */
  async #write(change: (sql: SqlStorage) => void = () => {}): Promise<void> {
    // There is no `await` up to the end of the transaction, so that the alarm and the rows are stored together.
    const alarmSet = this.#hasAlarm ? undefined : this.#storage.setAlarm(Date.now() + SESSION_IDLE_MAX_MS);
    this.#hasAlarm = true;
    this.#storage.transactionSync(() => {
      const { sql } = this.#storage;
      if (!this.#hasTables) migrate(sql, PUSH_SESSION_MIGRATIONS);
      change(sql);
      const insertRequest = `INSERT OR REPLACE INTO requests (fingerprint, push_id, request_id, at, is_retry)
        VALUES (?, ?, ?, ?, ?)`;
      for (const { fingerprint, push_id, request_id, at, is_retry } of this.#unwritten) {
        sql.exec(insertRequest, fingerprint, push_id, request_id, at, is_retry);
      }
    });
    this.#hasTables = true;
    this.#unwritten = [];
    await alarmSet;
  }

  #writeLater(): void {
    if (this.#isWriteDue) return;
    this.#isWriteDue = true;
    setTimeout(() => {
      this.#isWriteDue = false;
      if (this.#unwritten.length === 0) return;
      this.#write().catch((error) => {
        this.#unwritten = [];
        this.#log.error("push-sessions-unwritten", { cause: causeOf(error) });
      });
    }, WRITE_DELAY_MS);
  }
}
