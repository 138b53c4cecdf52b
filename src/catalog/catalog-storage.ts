import { toHex } from "../resources/sha1.ts";
import { type Migration, migrate } from "../storage/schema.ts";
import { noRefusals, type Refusals } from "./observations.ts";

/** The state of the catalog apart from its resources. Times are in ms since the epoch. */
export interface State {
  /** KEY_PREFIX of the cache that the catalog publishes to. */
  prefix: string;
  /** The number of the last change of a resource, from 1. */
  revision: number;
  /** The revision at which the catalog was empty last. */
  emptyRevision: number;
  /** Counts how often all resources were removed. Work that began in an earlier epoch is discarded. */
  epoch: number;
  /** Observations from this time or earlier are refused. */
  forgottenAt: number | null;
  /** When the oldest unpublished change was recorded, to within seconds; null if everything is published. */
  dirtySince: number | null;
  /** Key of the entry hashes of snapshot and delta: 16 bytes in hex, new for each snapshot. */
  secret: string;
  snapshot: {
    current: Snapshot | null;
    /** A snapshot that began later is due. */
    requestedAt: number | null;
    /** No snapshot is built before. */
    notBefore: number | null;
  };
  manifest: {
    /** Counts the manifests. */
    revision: number;
    published: Published | null;
    /** A write has begun and its outcome is unknown. */
    isWriteUncertain: boolean;
    /** Until then a write whose outcome was unknown may still land. */
    uncertainUntil: number | null;
    /** The manifest is written again although nothing has changed. */
    rewriteAt: number | null;
    /** No manifest is written before. */
    notBefore: number | null;
  };
  keys: {
    /** Set if KV refused a write: no key is written or deleted before. */
    notBefore: number | null;
    /** How many keys were written on the last day with any. Days are in UTC and counted from the epoch. */
    written: { day: number; count: number } | null;
    /** Tombstones of `prefix` with `has_key`. Counting them for each manifest would be billed row by row. */
    overruled: number;
  };
  /**
   * `hasMatched`: whether the Cloud Controller has matched anything since `from`. `removed`: how many entries an operator or the
   * bucket has reported as removed since.
   */
  suspension: { from: number; until: number; hasMatched: boolean; removed: number } | null;
  /** Matches that the Cloud Controller verified and rejected since a time. */
  rejections: { since: number; verified: number; rejected: number } | null;
  /** Former values of KEY_PREFIX whose manifest has to be retired; `writtenAt`: when that was done first. */
  retired: { prefix: string; writtenAt: number | null }[];
  /** Refused observations since the catalog began. */
  refused: Refusals;
}

interface Snapshot {
  id: string;
  entries: number;
  parts: number;
  /** The catalog's revision that it contains. */
  revision: number;
  /** It has the entries of this time. */
  builtAt: number;
  /** When its last part was written. */
  completedAt: number;
}

/** The content of the last manifest. */
export interface Published {
  /** The catalog's revision. */
  revision: number;
  snapshotId: string | null;
  /** `isObject`: whether it is stored as an object of its own, and not in the manifest. */
  delta: { id: string; added: number; removed: number; isObject: boolean } | null;
  areKeysTrusted: boolean;
  at: number;
}

type DeepReadonly<T> = { readonly [K in keyof T]: DeepReadonly<T[K]> };
export type StoredState = DeepReadonly<State>;

/** Version 1. Times are in ms since the epoch. */
const TABLES = `
  -- A resource costs two rows written, one of them in the index. The index finds the changes since a revision
  -- and the resources without a key.
  CREATE TABLE IF NOT EXISTS resources (
    sha1 BLOB PRIMARY KEY,
    size INTEGER,                   -- bytes; null if only its removal was observed
    size_verified INTEGER NOT NULL, -- 1 if the size is verified, 0 if a client reported it
    state INTEGER NOT NULL,         -- a value of ROW_STATE
    observed_at INTEGER NOT NULL,
    revision INTEGER NOT NULL       -- of the change that added or removed it
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS by_state ON resources (state, revision);

  -- Removed resources that a snapshot or a key of Workers KV may still have.
  CREATE TABLE IF NOT EXISTS tombstones (
    prefix TEXT NOT NULL,           -- KEY_PREFIX
    sha1 BLOB NOT NULL,
    size INTEGER NOT NULL,
    revision INTEGER NOT NULL,      -- of the removal
    removed_at INTEGER NOT NULL,
    has_key INTEGER NOT NULL,       -- 1 if Workers KV may have its key
    key_deleted_at INTEGER,         -- null before the key was deleted
    PRIMARY KEY (prefix, sha1, size)
  ) WITHOUT ROWID;

  CREATE INDEX IF NOT EXISTS by_key_deletion ON tombstones (key_deleted_at, removed_at) WHERE has_key = 1;

  -- The parts of snapshots and the deltas that Workers KV may have.
  CREATE TABLE IF NOT EXISTS published_objects (
    prefix TEXT NOT NULL,           -- KEY_PREFIX
    name TEXT NOT NULL,
    superseded_at INTEGER,          -- null until a manifest was written that does not name it
    PRIMARY KEY (prefix, name)
  ) WITHOUT ROWID;

  -- One row.
  CREATE TABLE IF NOT EXISTS catalog_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value TEXT NOT NULL             -- State, as JSON
  );
`;

/** A change of `State` needs a migration too: its row is JSON. */
export const CATALOG_MIGRATIONS: readonly Migration[] = [{ usableFrom: 1, run: (sql) => sql.exec(TABLES) }];

/** The column `state` of `resources`. A resource is present in all states below `removed`. */
export const ROW_STATE = {
  keyMissing: 0,
  /** A write of the key has begun: Workers KV may have it. */
  keyBegun: 1,
  keyWritten: 2,
  removed: 3,
} as const;

/** The tables of the catalog. Its state is one JSON object, which is read once per instance. */
export class CatalogStorage {
  readonly sql: SqlStorage;
  readonly #storage: DurableObjectStorage;
  #storedJson: string | undefined;
  #state: StoredState;

  constructor(storage: DurableObjectStorage) {
    this.sql = storage.sql;
    this.#storage = storage;
    storage.transactionSync(() => migrate(this.sql, CATALOG_MIGRATIONS));
    const [row] = this.sql.exec<{ value: string }>("SELECT value FROM catalog_state").toArray();
    this.#storedJson = row?.value;
    this.#state = row ? (JSON.parse(row.value) as State) : initialState();
  }

  /** Whether no state was ever stored. */
  get isNew(): boolean {
    return this.#storedJson === undefined;
  }

  /** The stored state. A change replaces this object: a reference to it keeps the state of one moment. */
  get state(): StoredState {
    return this.#state;
  }

  /**
   * Changes the state, and the rows that `work` writes to other tables, in one transaction. If `work` throws,
   * neither is changed. Calls must not be nested.
   */
  change<T>(work: (draft: State) => T): T {
    const draft = structuredClone(this.#state) as State;
    const { result, json } = this.#storage.transactionSync(() => {
      const result = work(draft);
      const json = JSON.stringify(draft);
      // Rows written are billed.
      if (json !== this.#storedJson) {
        this.sql.exec("INSERT OR REPLACE INTO catalog_state (id, value) VALUES (1, ?)", json);
      }
      return { result, json };
    });
    this.#storedJson = json;
    this.#state = draft;
    return result;
  }
}

/** 16 random bytes in hex. */
export function newSecret(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)));
}

function initialState(): State {
  return {
    prefix: "",
    revision: 0,
    emptyRevision: 0,
    epoch: 0,
    forgottenAt: null,
    dirtySince: null,
    secret: newSecret(),
    snapshot: { current: null, requestedAt: null, notBefore: null },
    manifest: {
      revision: 0,
      published: null,
      isWriteUncertain: false,
      uncertainUntil: null,
      rewriteAt: null,
      notBefore: null,
    },
    keys: { notBefore: null, written: null, overruled: 0 },
    suspension: null,
    rejections: null,
    retired: [],
    refused: noRefusals(),
  };
}
