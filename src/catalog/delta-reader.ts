import type { KeyValueStore } from "../cache/key-value-store.ts";
import { deltaName } from "../cache/manifest.ts";
import { type PackedValue, unpack } from "../cache/packed-value.ts";
import { KV_CACHE_TTL_MIN_SECONDS } from "../platform-limits.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { ROW_STATE, type StoredState } from "./catalog-storage.ts";
import { EntryList, type EntryRow } from "./entry-list.ts";

interface ReadDelta extends PackedValue {
  /** New for each snapshot, and each time the catalog is emptied. */
  secret: string;
  areKeysTrusted: boolean;
  /** Of the last change that it has. */
  revision: number;
}

const PRESENT_STATES = [ROW_STATE.keyMissing, ROW_STATE.keyBegun, ROW_STATE.keyWritten];

/**
 * Reads the delta from the tables. Rows read are billed, so it keeps the last delta in memory, and then reads only rows
 * that have changed since. It reads all rows after a new snapshot, after the catalog was emptied, and if the trust in
 * keys has changed.
 */
export class DeltaReader {
  readonly #sql: SqlStorage;
  #last: ReadDelta | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** In a new instance of the catalog: reads the last delta from Workers KV, if it is large. Never throws. */
  async restore({ secret, snapshot, manifest }: StoredState, store: KeyValueStore): Promise<void> {
    const { published } = manifest;
    const isOfSnapshot = published?.snapshotId === (snapshot.current?.id ?? null);
    if (this.#last?.secret === secret || !published?.delta?.isObject || !isOfSnapshot) return;
    const { revision, areKeysTrusted } = published;
    const name = deltaName(published.delta.id);
    try {
      const read = store.getBytes(name, KV_CACHE_TTL_MIN_SECONDS);
      const value = await withTimeout(TIMEOUT_MS.deltaRead, read);
      if (value) this.#last = { secret, areKeysTrusted, revision, ...unpack(value, name) };
    } catch {
      // All rows are read instead.
    }
  }

  /** Reads the delta as of this state, which must be the current one. */
  read(state: StoredState, areKeysTrusted: boolean): PackedValue {
    const { secret, revision } = state;
    const last = this.#last;
    const isRecent = last?.secret === secret && last.areKeysTrusted === areKeysTrusted;
    const value = isRecent ? this.#readChanges(state, last) : this.#readAll(state, areKeysTrusted);
    this.#last = { ...value, secret, areKeysTrusted, revision };
    return value;
  }

  /** Leaves out tombstones that were deleted because they have expired. */
  leaveOut(expired: Iterable<EntryRow>): void {
    if (!this.#last) return;
    const list = new EntryList(this.#last.secret);
    for (const row of expired) list.add(row);
    this.#last.removed = changed(this.#last.removed, list.sorted(), new BigUint64Array());
  }

  #readAll(state: StoredState, areKeysTrusted: boolean): PackedValue {
    const added = new EntryList(state.secret);
    const removed = new EntryList(state.secret);
    this.#addPresent(added, firstRevision(state));
    if (hasTombstones(state, areKeysTrusted)) {
      const query = `SELECT sha1, size FROM tombstones
        WHERE prefix = ? AND (revision > ? OR (has_key = 1 AND ?))`;
      const parameters = [state.prefix, firstRevision(state), areKeysTrusted ? 1 : 0];
      for (const row of this.#sql.exec(query, ...parameters).raw<EntryRow>()) removed.add(row);
    }
    return { added: added.sorted(), removed: removed.sorted() };
  }

  /** A resource that became present has no tombstone any more, and one that was removed has one. */
  #readChanges(state: StoredState, last: ReadDelta): PackedValue {
    const { secret, prefix } = state;
    const addedList = new EntryList(secret);
    const removedList = new EntryList(secret);
    this.#addPresent(addedList, last.revision);
    const query = `SELECT tombstones.sha1, tombstones.size FROM resources
      CROSS JOIN tombstones ON prefix = ? AND tombstones.sha1 = resources.sha1
      WHERE state = ? AND resources.revision > ? AND (tombstones.revision > ? OR (has_key = 1 AND ?))`;
    const parameters = [last.revision, firstRevision(state), last.areKeysTrusted ? 1 : 0];
    for (const rowState of [...PRESENT_STATES, ROW_STATE.removed]) {
      const rows = this.#sql.exec(query, prefix, rowState, ...parameters).raw<EntryRow>();
      for (const row of rows) removedList.add(row);
    }
    const [added, removed] = [addedList.sorted(), removedList.sorted()];
    return {
      added: changed(last.added, removed, added),
      removed: hasTombstones(state, last.areKeysTrusted)
        ? changed(last.removed, added, removed)
        : last.removed,
    };
  }

  /** Adds the present resources that were added after a revision. */
  #addPresent(list: EntryList, revision: number): void {
    for (const state of PRESENT_STATES) {
      const query = "SELECT sha1, size FROM resources WHERE state = ? AND revision > ?";
      for (const row of this.#sql.exec(query, state, revision).raw<EntryRow>()) list.add(row);
    }
  }
}

/** The delta has later changes. Without a snapshot: all changes. */
function firstRevision({ snapshot }: StoredState): number {
  return snapshot.current?.revision ?? 0;
}

/** If there is neither a snapshot nor a trusted key, there is nothing to overrule. */
function hasTombstones({ snapshot }: StoredState, areKeysTrusted: boolean): boolean {
  return snapshot.current !== null || areKeysTrusted;
}

/**
 * A copy without some entries, and with others. All are ascending. A changed entry takes a binary search, because
 * JavaScript allocates an object for each 64-bit word that it looks at.
 */
function changed(
  entries: BigUint64Array<ArrayBuffer>,
  without: BigUint64Array,
  plus: BigUint64Array,
): BigUint64Array<ArrayBuffer> {
  if (without.length + plus.length === 0) return entries;
  const result = new BigUint64Array(entries.length + plus.length);
  const words = new BigUint64Array(without.length + plus.length);
  words.set(without);
  words.set(plus, without.length);
  words.sort();
  const members = new Set(plus);
  let [from, length] = [0, 0];
  let previous: bigint | undefined;
  for (const word of words) {
    if (word === previous) continue;
    previous = word;
    const until = lowerBound(entries, word, from);
    result.set(entries.subarray(from, until), length);
    length += until - from;
    from = entries[until] === word ? until + 1 : until;
    if (members.has(word)) result[length++] = word;
  }
  result.set(entries.subarray(from), length);
  return result.subarray(0, length + entries.length - from);
}

/** The first index from `from` on whose word is not smaller. */
function lowerBound(words: BigUint64Array, word: bigint, from: number): number {
  let [low, high] = [from, words.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((words[middle] as bigint) < word) low = middle + 1;
    else high = middle;
  }
  return low;
}
