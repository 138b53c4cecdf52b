import { noRefusals, type Refusals } from "./observations.ts";

/** What the catalog remembers beside its tables. */
export interface State {
  /** KEY_PREFIX of the foundation that the catalog describes. */
  prefix: string;
  /** The number of the last change. */
  revision: number;
  /** What it was when nothing was held: at first, and when everything was forgotten last. */
  emptyRevision: number;
  /** Counts the times that everything was forgotten: a snapshot that was begun before is not of use. */
  epoch: number;
  /** Nothing that was seen until then is believed; ms since the epoch. */
  forgottenAt: number;
  /** 16 bytes in hex, drawn for each snapshot. */
  secret: string;
  snapshot: { id: string; entries: number; parts: number; revision: number; builtAt: number } | null;
  /** The manifest that was written last. */
  published: {
    revision: number;
    delta: { id: string; added: number; removed: number } | null;
    at: number;
  } | null;
  /** Since when, nearly, something has changed that no manifest tells yet, in ms since the epoch; null where all is told. */
  dirtySince: number | null;
  /** The number of the manifest that was written last. */
  manifestRevision: number;
  /** A manifest is being written, or was and nobody knows whether that is over. */
  isManifestUncertain: boolean;
  /** Until then such a manifest may still arrive; ms since the epoch. */
  uncertainUntil: number;
  /** To write the manifest again, since a late write may have replaced it; ms since the epoch. */
  rewriteManifestAt: number;
  /** Not to publish before; ms since the epoch. */
  notBefore: number;
  /** A snapshot that was begun later is wanted, whatever has changed; ms since the epoch. */
  snapshotWantedAt: number;
  /** Not to build a snapshot before; ms since the epoch. */
  snapshotNotBefore: number;
  /** The cache does not count from one moment until another, in ms since the epoch. */
  suspension: { from: number; until: number; hasMatched: boolean } | null;
  /** Claims that the Cloud Controller was asked about, and denied, since a moment. */
  rejections: { since: number; verified: number; rejected: number };
  /** Prefixes whose manifest is to say that they are no longer in use, and when it was written first. */
  retired: { prefix: string; writtenAt: number | null }[];
  /** Keys written on this day since the epoch, UTC. */
  keysOfDay: { day: number; written: number };
  /** KV refused a key: not to be tried before; ms since the epoch. */
  keysNotBefore: number;
  /** Resources that were not taken, since the catalog began. */
  refused: Refusals;
}

const DEFAULTS: State = {
  prefix: "",
  revision: 0,
  emptyRevision: 0,
  epoch: 0,
  forgottenAt: 0,
  secret: "",
  snapshot: null,
  published: null,
  dirtySince: null,
  manifestRevision: 0,
  isManifestUncertain: false,
  uncertainUntil: 0,
  rewriteManifestAt: Number.MAX_SAFE_INTEGER,
  notBefore: 0,
  snapshotWantedAt: -1,
  snapshotNotBefore: 0,
  suspension: null,
  rejections: { since: 0, verified: 0, rejected: 0 },
  retired: [],
  keysOfDay: { day: 0, written: 0 },
  keysNotBefore: 0,
  refused: noRefusals(),
};

/** The revision of a manifest that does not tell what the catalog holds, whatever it is. */
export const UNPUBLISHED = -1;

/** `Memory` by name, in a table. */
export class CatalogState {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  get<Name extends keyof State>(name: Name): State[Name] {
    const [row] = this.#sql
      .exec<{ value: string }>("SELECT value FROM memory WHERE name = ?", name)
      .toArray();
    return row ? JSON.parse(row.value) : DEFAULTS[name];
  }

  set(values: Partial<State>): void {
    for (const [name, value] of Object.entries(values)) {
      this.#sql.exec(
        "INSERT OR REPLACE INTO memory (name, value) VALUES (?, ?)",
        name,
        JSON.stringify(value),
      );
    }
  }

  /** Something has changed that no manifest tells yet. @param now ms since the epoch */
  markDirty(now: number): void {
    if (this.get("dirtySince") === null) this.set({ dirtySince: now });
  }
}
