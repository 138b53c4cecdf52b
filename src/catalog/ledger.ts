import { chunks } from "../chunks.ts";
import type { ObservationsResult } from "../operator-api/responses.ts";
import { parseResourceKey, type ResourceKey, sizeOf } from "../resources/resource-key.ts";
import { sha1Bytes } from "../resources/sha1.ts";
import { OBSERVATION_MAX_AGE_MS } from "../time/time-guarantees.ts";
import { newSecret, ROW_STATE, type State } from "./catalog-storage.ts";
import { noRefusals, type Observations, type Refusal } from "./observations.ts";
import type { Batch, ResourceTables } from "./resource-tables.ts";
import { endSuspension } from "./suspension.ts";

/** Bytes, both included. */
interface SizeLimits {
  minimumSize: number;
  maximumSize: number;
}

const ROWS_PER_INSERT = 1000;

/** Records observations. Methods with a draft are to be called in `CatalogStorage.change`. */
export class Ledger {
  readonly #tables: ResourceTables;

  constructor(tables: ResourceTables) {
    this.#tables = tables;
  }

  /**
   * For each SHA-1 the later observation wins; at the same time, the removal (R1.3). An observation that repeats what is
   * recorded does not count as a later one, so that it writes nothing.
   */
  record(
    draft: State,
    { asOf, present = [], removed = [], sizes }: Observations,
    { minimumSize, maximumSize }: SizeLimits,
    now: number,
  ): ObservationsResult {
    const batch: Batch = {
      prefix: draft.prefix,
      observedAt: Math.min(asOf, now),
      isSizeVerified: sizes === "verified",
      revision: draft.revision + 1,
      now,
      keys: draft.keys,
    };
    const observed = { changed: 0, unchanged: 0, refused: noRefusals() };
    const count = (outcome: boolean | Refusal) => {
      if (typeof outcome === "string") observed.refused[outcome] += 1;
      else if (outcome) observed.changed += 1;
      else observed.unchanged += 1;
    };

    for (const sha1 of removed) count(this.#recordRemoved(sha1Bytes(sha1), batch));
    const isRecent =
      batch.observedAt > now - OBSERVATION_MAX_AGE_MS &&
      (draft.forgottenAt === null || batch.observedAt > draft.forgottenAt);
    const accepted: ResourceKey[] = [];
    for (const key of present) {
      const size = sizeOf(key);
      if (!isRecent) count("too-old");
      else if (size < minimumSize || size > maximumSize) count("outside-limits");
      else accepted.push(key);
    }
    // In the order of the table, so that each of its pages is visited once.
    accepted.sort();
    for (const keys of chunks(accepted, ROWS_PER_INSERT)) {
      const known = this.#tables.insertUnknown(keys, batch);
      observed.changed += keys.length - known.length;
      for (const key of known) count(this.#recordPresent(key, batch));
    }

    // The difference of two revisions is the number of changes between them.
    draft.revision += observed.changed;
    if (observed.changed > 0) draft.dirtySince ??= now;
    for (const reason of Object.keys(observed.refused) as Refusal[]) {
      draft.refused[reason] += observed.refused[reason];
    }
    return observed;
  }

  /** Those of the SHA-1s in lower-case hex whose removal at a time would change the catalog. @param asOf ms since the epoch */
  removable(sha1s: readonly string[], asOf: number): string[] {
    return sha1s.filter((sha1) => {
      const row = this.#tables.find(sha1Bytes(sha1));
      return row !== undefined && row.state !== ROW_STATE.removed && row.observed_at <= asOf;
    });
  }

  forget(draft: State, now: number): void {
    this.#removeAll(draft, now);
    draft.keys.overruled = this.#tables.countOverruledKeys(draft.prefix);
    this.#tables.deleteAllRows();
    draft.forgottenAt = now;
  }

  /** Changes the prefix. Tombstones of the former prefix are kept until its keys are deleted. */
  moveTo(draft: State, prefix: string, now: number): void {
    this.#removeAll(draft, now);
    const others = draft.retired.filter((one) => one.prefix !== prefix && one.prefix !== draft.prefix);
    draft.retired = [...others, { prefix: draft.prefix, writtenAt: null }];
    draft.prefix = prefix;
    draft.keys.overruled = this.#tables.countOverruledKeys(prefix);
  }

  /** Keeps the removals, because older observations may still arrive. */
  #removeAll(draft: State, now: number): void {
    draft.revision += 1;
    this.#tables.removeAll(draft.prefix, draft.revision, now);
    draft.emptyRevision = draft.revision;
    draft.epoch += 1;
    draft.secret = newSecret();
    draft.snapshot.current = null;
    draft.manifest.published = null;
    draft.dirtySince ??= now;
    endSuspension(draft);
  }

  /** @returns whether the resource or its size is new */
  #recordPresent(key: ResourceKey, batch: Batch): boolean | Refusal {
    const { sha1: hex, size } = parseResourceKey(key);
    const { observedAt, isSizeVerified } = batch;
    const sha1 = sha1Bytes(hex);
    const row = this.#tables.find(sha1);
    if (!row) {
      this.#tables.add(sha1, size, batch);
      return true;
    }
    const isPresent = row.state !== ROW_STATE.removed;
    // A content has one size: a verified one wins over a client-reported one, even if that is later.
    if (row.size_verified && !isSizeVerified && size !== row.size) return "conflicting-size";
    const isCorrection = isPresent && isSizeVerified && !row.size_verified;
    if (observedAt <= row.observed_at && !isCorrection) return false;

    // The time of the row stays: a nightly listing would write a row for each file. So a removal may win that was
    // observed earlier and arrives later, which costs upload bytes only.
    if (isPresent && size === row.size) {
      if (isCorrection) this.#tables.verifySize(sha1);
      return false;
    }
    if (isPresent) this.#tables.addTombstone(sha1, row, batch);
    this.#tables.add(sha1, size, {
      ...batch,
      isSizeVerified: isSizeVerified || row.size_verified === 1,
      observedAt: Math.max(observedAt, row.observed_at),
    });
    return true;
  }

  /** @returns whether the resource was present */
  #recordRemoved(sha1: Uint8Array, batch: Batch): boolean {
    const row = this.#tables.find(sha1);
    if (row && batch.observedAt < row.observed_at) return false;
    const isPresent = row !== undefined && row.state !== ROW_STATE.removed;
    if (isPresent) this.#tables.addTombstone(sha1, row, batch);
    this.#tables.remove(sha1, batch);
    return isPresent;
  }
}
