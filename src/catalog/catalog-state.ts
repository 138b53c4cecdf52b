import { toHex } from "../resources/sha1.ts";
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
    /**
     * The keys that were written on the last day on which there were any. `day` counts days in UTC since the
     * epoch.
     */
    written: { day: number; count: number } | null;
  };
  /** `hasMatched`: whether the Cloud Controller has matched anything since `from`. */
  suspension: { from: number; until: number; hasMatched: boolean } | null;
  /** Matches that the Cloud Controller verified and rejected since a time. */
  rejections: { since: number; verified: number; rejected: number } | null;
  /** Former values of KEY_PREFIX whose manifest has to be retired; `writtenAt`: when that was done first. */
  retired: { prefix: string; writtenAt: number | null }[];
  /** Refused observations since the catalog began. */
  refused: Refusals;
}

export interface Snapshot {
  id: string;
  entries: number;
  parts: number;
  /** The catalog's revision that it contains. */
  revision: number;
  builtAt: number;
}

/** The content of the last manifest. */
export interface Published {
  /** The catalog's revision. */
  revision: number;
  snapshotId: string | null;
  delta: { id: string; added: number; removed: number } | null;
  at: number;
}

export type DeepReadonly<T> = { readonly [K in keyof T]: DeepReadonly<T[K]> };

const TABLE = `
  CREATE TABLE IF NOT EXISTS catalog_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value TEXT NOT NULL -- JSON of State
  )
`;

/** The catalog's state: one JSON object in one row, which is read once per instance. */
export class CatalogState {
  readonly #storage: DurableObjectStorage;
  #storedJson: string | undefined;
  #current: DeepReadonly<State>;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    storage.sql.exec(TABLE);
    const [row] = storage.sql.exec<{ value: string }>("SELECT value FROM catalog_state").toArray();
    this.#storedJson = row?.value;
    this.#current = row ? (JSON.parse(row.value) as State) : initialState();
  }

  /** Whether no state was ever stored. */
  get isNew(): boolean {
    return this.#storedJson === undefined;
  }

  /** The stored state. A change replaces this object, so that a reference to it stays as it was. */
  get current(): DeepReadonly<State> {
    return this.#current;
  }

  /**
   * Changes the state, and the rows that `work` writes to other tables, in one transaction. If `work` throws,
   * neither is changed. Calls must not be nested.
   */
  change<T>(work: (draft: State) => T): T {
    const draft = structuredClone(this.#current) as State;
    const { result, json } = this.#storage.transactionSync(() => {
      const result = work(draft);
      const json = JSON.stringify(draft);
      // Rows written are billed.
      if (json !== this.#storedJson) {
        this.#storage.sql.exec("INSERT OR REPLACE INTO catalog_state (id, value) VALUES (1, ?)", json);
      }
      return { result, json };
    });
    this.#storedJson = json;
    this.#current = draft;
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
    keys: { notBefore: null, written: null },
    suspension: null,
    rejections: null,
    retired: [],
    refused: noRefusals(),
  };
}
