import { DurableObject } from "cloudflare:workers";
import { countOf } from "../bytes/marks.ts";
import type { Env } from "../configuration.ts";
import { causeOf, createLog } from "../log.ts";
import {
  CONTENT_BYTES,
  Decisions,
  NO_MATCH,
  NO_SESSION,
  only,
  type SessionState,
  UNDECIDED,
} from "./decisions.ts";
import { IDLE_MAX_MS, isExpired } from "./expiry.ts";

/** The same request within this time most likely comes from a push that failed and is tried again. */
const RETRY_MS = 10 * 60 * 1000;
/** Of decisions: 90 requests of 5,000. An inspection may return all of a session. */
const SESSION_MAX_BYTES = 4 * 1024 * 1024;
const OBJECT_MAX_BYTES = 16 * 1024 * 1024;
/** A write delays the responses that leave the object meanwhile: what no response depends on is written once a second. */
const WRITE_DELAY_MS = 1_000;

const TABLES = `
  CREATE TABLE IF NOT EXISTS sessions (
    push_id TEXT PRIMARY KEY,        -- empty for all requests without one
    is_identified INTEGER NOT NULL,
    is_full INTEGER NOT NULL,
    first_at INTEGER NOT NULL,       -- ms since the epoch
    last_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS decisions (
    push_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    contents BLOB NOT NULL,          -- 8 bytes each, as they came
    marks BLOB NOT NULL,             -- a byte each
    PRIMARY KEY (push_id, request_id)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS requests (
    fingerprint TEXT NOT NULL,
    request_id TEXT NOT NULL,
    push_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    is_retry INTEGER NOT NULL,       -- 1 if a retry was suspected
    PRIMARY KEY (fingerprint, request_id)
  ) WITHOUT ROWID;
`;

type RequestRow = { fingerprint: string; request_id: string; push_id: string; at: number; is_retry: number };
type SessionRow = { is_identified: number; is_full: number; first_at: number; last_at: number };
type DecisionsRow = { request_id: string; decided_at: number; contents: ArrayBuffer; marks: ArrayBuffer };

/** What a request has to know before it is answered. */
export interface Inspection {
  /** Whether the caller sent the same request a short while ago. */
  retrySuspected: boolean;
  session: SessionState;
}

export interface Decided {
  /** MATCH or NO_MATCH for each content. */
  decisions: Uint8Array<ArrayBuffer>;
  /** How many of the contents earlier requests had decided. */
  decidedEarlier: number;
}

/**
 * The push sessions of one caller: what was decided for the contents of each push, so that its requests agree. A method that is called
 * again with the same `requestId` returns the same as before.
 */
export class PushSessions extends DurableObject<Env> {
  readonly #log = createLog({ object: "push-sessions" });
  readonly #storage: DurableObjectStorage;
  #hasTables: boolean;
  #hasAlarm = false;
  /** Requests that are not on disk yet. */
  #unwritten: RequestRow[] = [];

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = ctx.storage;
    const query = "SELECT 1 FROM sqlite_master WHERE name = 'sessions'";
    this.#hasTables = ctx.storage.sql.exec(query).toArray().length > 0;
    ctx.blockConcurrencyWhile(async () => {
      this.#hasAlarm = (await ctx.storage.getAlarm()) !== null;
    });
  }

  /**
   * For a request of fewer than 5,000 resources, the last of its app: it decides nothing that another request must know.
   *
   * @param pushId empty if the client does not identify its push
   */
  async inspect(pushId: string, fingerprint: string, requestId: string): Promise<Inspection> {
    const now = Date.now();
    const { isRetry, isRepeated } = this.#record(pushId, fingerprint, requestId, now);
    this.#writeLater();
    return { retrySuspected: isRetry, session: this.#session(pushId, requestId, isRepeated, now) };
  }

  /**
   * Decides the contents of a request of 5,000 resources, and stores that before it returns.
   *
   * @param contents 8 bytes each
   * @param found a mark for each
   * @param verified whether to decide even if a retry is suspected
   * @returns the decisions; or, if a retry is suspected and not verified, what was decided before
   */
  async decide(
    pushId: string,
    fingerprint: string,
    requestId: string,
    contents: Uint8Array<ArrayBuffer>,
    found: Uint8Array,
    verified: boolean,
  ): Promise<Decided | Inspection> {
    const now = Date.now();
    const { isRetry, isRepeated } = this.#record(pushId, fingerprint, requestId, now);
    const { own, firstAt, ...session } = this.#session(pushId, requestId, isRepeated, now);
    if (isRetry && !verified) {
      this.#writeLater();
      return { retrySuspected: true, session };
    }
    const earlier = new Decisions(session);
    const before = earlier.of(contents);
    const decisions = earlier.resolve(contents, found, now);
    // A repeated call: "no match" of either call wins.
    const ownBefore = new Decisions({ ...NO_SESSION, batches: own }).of(contents);
    const isNew = new Uint8Array(decisions.length);
    const marks = new Uint8Array(decisions.length);
    let count = 0;
    for (let index = 0; index < decisions.length; index++) {
      if (ownBefore[index] === NO_MATCH) decisions[index] = NO_MATCH;
      if (decisions[index] === before[index]) continue;
      isNew[index] = 1;
      marks[count++] = decisions[index] as number;
    }
    const isFull = session.isFull || !this.#hasRoom(pushId, count);
    for (let index = 0; isFull && index < decisions.length; index++) {
      if (before[index] === UNDECIDED) decisions[index] = NO_MATCH;
    }
    await this.#write((sql) => {
      if (firstAt === undefined) sql.exec("DELETE FROM decisions WHERE push_id = ?", pushId);
      const flags = [session.isIdentified ? 1 : 0, isFull ? 1 : 0];
      sql.exec(
        "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)",
        pushId,
        ...flags,
        firstAt ?? now,
        now,
      );
      if (isFull || count === 0) return;
      const blobs = [only(contents, isNew, 1).buffer, marks.slice(0, count).buffer];
      sql.exec("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?)", pushId, requestId, now, ...blobs);
    });
    return { decisions, decidedEarlier: before.length - countOf(before, UNDECIDED) };
  }

  /** Deletes what has expired, and the tables once they are empty. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#hasAlarm = false;
    await this.#write((sql) => {
      sql.exec("DELETE FROM requests WHERE at <= ?", now - RETRY_MS);
      sql.exec("DELETE FROM sessions WHERE last_at < ?", now - IDLE_MAX_MS);
      sql.exec("DELETE FROM decisions WHERE push_id NOT IN (SELECT push_id FROM sessions)");
    });
    const rows = this.#read("SELECT 1 FROM sessions UNION ALL SELECT 1 FROM requests LIMIT 1");
    if (rows.length > 0 || this.#unwritten.length > 0) return;
    this.#hasTables = false;
    this.#hasAlarm = false;
    this.#storage.deleteAlarm();
    await this.#storage.deleteAll();
  }

  /** Notes a request, unless this is a repeated call. */
  #record(pushId: string, fingerprint: string, requestId: string, now: number) {
    const same = [
      ...this.#read<RequestRow>("SELECT * FROM requests WHERE fingerprint = ?", fingerprint),
      ...this.#unwritten.filter((row) => row.fingerprint === fingerprint),
    ];
    const others = same.filter((row) => row.request_id !== requestId && row.at > now - RETRY_MS);
    const noted = same.find((row) => row.request_id === requestId);
    const is_retry = noted?.is_retry ?? (others.length > 0 ? 1 : 0);
    if (!noted)
      this.#unwritten.push({ fingerprint, request_id: requestId, push_id: pushId, at: now, is_retry });
    return { isRetry: is_retry === 1, isRepeated: others.some((row) => row.push_id === pushId) };
  }

  /**
   * The session of a push, which this request keeps alive.
   *
   * @param isRepeated whether the push has sent this request before: then its id is that of several pushes, and identifies none
   * @returns the batches of this request, if its call is repeated, apart from those of others
   */
  #session(pushId: string, requestId: string, isRepeated: boolean, now: number) {
    const isIdentified = pushId !== "" && !isRepeated;
    const [row] = this.#read<SessionRow>("SELECT * FROM sessions WHERE push_id = ?", pushId);
    const times = row && {
      isIdentified: row.is_identified === 1,
      firstAt: row.first_at,
      lastAt: row.last_at,
    };
    if (!times || isExpired(times, now)) return { isIdentified, isFull: false, batches: [], own: [] };
    if (times.isIdentified) {
      const change = "UPDATE sessions SET last_at = ?, is_identified = ? WHERE push_id = ?";
      this.#storage.sql.exec(change, now, isIdentified ? 1 : 0, pushId);
    }
    const query = "SELECT * FROM decisions WHERE push_id = ?";
    const batches = this.#read<DecisionsRow>(query, pushId).map((each) => ({
      requestId: each.request_id,
      decidedAt: each.decided_at,
      contents: new Uint8Array(each.contents),
      marks: new Uint8Array(each.marks),
    }));
    return {
      firstAt: times.firstAt,
      isIdentified: times.isIdentified && isIdentified,
      isFull: row.is_full === 1,
      batches: batches.filter((batch) => batch.requestId !== requestId),
      own: batches.filter((batch) => batch.requestId === requestId),
    };
  }

  /** @param count contents that are to be stored */
  #hasRoom(pushId: string, count: number): boolean {
    const query =
      "SELECT TOTAL(LENGTH(marks)) AS of_all, TOTAL(IIF(push_id = ?, LENGTH(marks), 0)) AS of_session FROM decisions";
    const [stored] = this.#read<{ of_all: number; of_session: number }>(query, pushId);
    const bytes = (contents: number) => (CONTENT_BYTES + 1) * (contents + count);
    return (
      bytes(stored?.of_all ?? 0) <= OBJECT_MAX_BYTES && bytes(stored?.of_session ?? 0) <= SESSION_MAX_BYTES
    );
  }

  #read<Row extends Record<string, SqlStorageValue>>(query: string, ...values: SqlStorageValue[]): Row[] {
    return this.#hasTables ? this.#storage.sql.exec<Row>(query, ...values).toArray() : [];
  }

  /** Stores the requests that are not on disk yet, and what `change` does, all or nothing. */
  async #write(change: (sql: SqlStorage) => void = () => {}): Promise<void> {
    // Without an `await` in between, the alarm is stored with the rest.
    const alarmSet = this.#hasAlarm ? undefined : this.#storage.setAlarm(Date.now() + IDLE_MAX_MS);
    this.#hasAlarm = true;
    this.#storage.transactionSync(() => {
      const { sql } = this.#storage;
      if (!this.#hasTables) sql.exec(TABLES);
      change(sql);
      for (const { fingerprint, request_id, push_id, at, is_retry } of this.#unwritten) {
        const row = [fingerprint, request_id, push_id, at, is_retry];
        sql.exec("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)", ...row);
      }
    });
    this.#hasTables = true;
    this.#unwritten = [];
    await alarmSet;
  }

  #writeLater(): void {
    // A timer for each request: the first one writes all, and the others find nothing to write.
    setTimeout(() => {
      if (this.#unwritten.length === 0) return;
      this.#write().catch((error) => {
        this.#unwritten = [];
        this.#log.error("push-sessions-unwritten", { cause: causeOf(error) });
      });
    }, WRITE_DELAY_MS);
  }
}
