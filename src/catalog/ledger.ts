import { chunks } from "../chunks.ts";
import { parseResourceKey, type ResourceKey, sizeOf } from "../resources/resource-key.ts";
import { sha1Bytes } from "../resources/sha1.ts";
import { OBSERVATION_MAX_AGE_MS, REMOVAL_REMEMBERED_MS } from "../time/time-guarantees.ts";
import type { CatalogState } from "./catalog-state.ts";
import { newSecret } from "./ids.ts";
import { noRefusals, type Observations, type Observed, type Refusal } from "./observations.ts";
import { ResourceTable } from "./resource-table.ts";
import { STATE } from "./tables.ts";

/** Bytes, both included. */
export interface SizeLimits {
  minimumSize: number;
  maximumSize: number;
}

/** What holds for all that is taken down together. */
interface Batch {
  /** ms since the epoch. */
  observedAt: number;
  isSizeVerified: boolean;
  revision: number;
  now: number;
}

const ROWS_PER_INSERT = 1000;

/** Takes observations into the catalog's tables. Every method is to run within a transaction. */
export class Ledger {
  readonly #table: ResourceTable;
  readonly #memory: CatalogState;

  constructor(sql: SqlStorage, memory: CatalogState) {
    this.#table = new ResourceTable(sql, memory);
    this.#memory = memory;
  }

  /** Of each SHA-1 the later observation wins, and at the same time "not present" does. */
  record(
    { asOf, present = [], removed = [], sizes }: Observations,
    limits: SizeLimits,
    now: number,
  ): Observed {
    const revision = this.#memory.get("revision") + 1;
    const look: Batch = {
      observedAt: Math.min(asOf, now),
      isSizeVerified: sizes === "verified",
      revision,
      now,
    };
    const observed = { changed: 0, unchanged: 0, refused: noRefusals() };
    const count = (outcome: boolean | Refusal) => {
      if (typeof outcome === "string") observed.refused[outcome] += 1;
      else if (outcome) observed.changed += 1;
      else observed.unchanged += 1;
    };

    for (const sha1 of removed) count(this.#recordRemoved(sha1Bytes(sha1), look));
    const isBelieved =
      look.observedAt > now - OBSERVATION_MAX_AGE_MS && look.observedAt > this.#memory.get("forgottenAt");
    const taken: ResourceKey[] = [];
    for (const key of present) {
      const size = sizeOf(key);
      if (!isBelieved) count("too-old");
      else if (size < limits.minimumSize || size > limits.maximumSize) count("outside-limits");
      else taken.push(key);
    }
    // In the order of the table: each of its pages is then visited once, however large it is.
    taken.sort();
    for (const some of chunks(taken, ROWS_PER_INSERT)) {
      const known = this.#table.insertUnknown(some, { ...look, observedAt: look.observedAt });
      observed.changed += some.length - known.length;
      for (const key of known) count(this.#recordPresent(key, look));
    }

    // So that the difference of two revisions tells how much has changed between them.
    if (observed.changed > 0) {
      this.#memory.set({ revision: revision - 1 + observed.changed });
      this.#memory.markDirty(now);
    }
    this.#countRefusals(observed);
    return observed;
  }

  /** @param sha1 lower-case hex */
  isPresent(sha1: string): boolean {
    const row = this.#table.row(sha1Bytes(sha1));
    return row !== undefined && row.state !== STATE.removed;
  }

  /** Forgets everything; nothing that was seen until `now` is believed any more. */
  forget(now: number): void {
    this.#removeAll(now);
    this.#table.forgetAll();
    this.#memory.set({ forgottenAt: now });
  }

  /** The catalog describes the cache under another prefix from now on: of the one before it keeps what must be deleted. */
  moveTo(prefix: string, now: number): void {
    const before = this.#memory.get("prefix");
    this.#removeAll(now);
    const others = this.#memory
      .get("retired")
      .filter((one) => one.prefix !== prefix && one.prefix !== before);
    this.#memory.set({ prefix, retired: [...others, { prefix: before, writtenAt: null }] });
  }

  forgetOldRemovals(now: number): void {
    this.#table.forgetRemovalsBefore(now - REMOVAL_REMEMBERED_MS);
  }

  /** Nothing is present any more, and what was published of it is of no use. */
  #removeAll(now: number): void {
    const revision = this.#memory.get("revision") + 1;
    this.#table.entombAll(revision, now);
    const epoch = this.#memory.get("epoch") + 1;
    this.#memory.set({
      ...{ revision, emptyRevision: revision, epoch },
      ...{ secret: newSecret(), snapshot: null, published: null },
    });
    this.#memory.markDirty(now);
  }

  /** @returns whether the catalog holds something else than before */
  #recordPresent(key: ResourceKey, { observedAt, isSizeVerified, revision, now }: Batch): boolean | Refusal {
    const { sha1: hex, size } = parseResourceKey(key);
    const sha1 = sha1Bytes(hex);
    const row = this.#table.row(sha1);
    if (!row) {
      this.#table.add(sha1, size, { isSizeVerified, observedAt, revision });
      return true;
    }
    const isPresent = row.state !== STATE.removed;
    // A content has one size: one that was measured stands, whenever that was, against one that was said.
    if (row.measured && !isSizeVerified && size !== row.size) return "conflicting-size";
    const isCorrected = isPresent && isSizeVerified && !row.measured;
    if (observedAt <= row.observed_at && !isCorrected) return false;

    const seen = {
      isSizeVerified: isSizeVerified || row.measured === 1,
      observedAt: Math.max(observedAt, row.observed_at),
      revision,
    };
    if (isPresent && size === row.size) {
      this.#table.confirm(sha1, seen.isSizeVerified, seen.observedAt);
      return false;
    }
    if (isPresent) this.#table.entomb(sha1, row, revision, now);
    this.#table.add(sha1, size, seen);
    return true;
  }

  /** @returns whether it was present before */
  #recordRemoved(sha1: Uint8Array, { observedAt, revision, now }: Batch): boolean {
    const row = this.#table.row(sha1);
    if (row && observedAt < row.observed_at) return false;
    const isPresent = row !== undefined && row.state !== STATE.removed;
    if (isPresent) this.#table.entomb(sha1, row, revision, now);
    this.#table.remove(sha1, observedAt, revision);
    return isPresent;
  }

  #countRefusals({ refused }: Observed): void {
    const total = { ...this.#memory.get("refused") };
    if (Object.values(refused).every((count) => count === 0)) return;
    for (const reason of Object.keys(refused) as Refusal[]) total[reason] += refused[reason];
    this.#memory.set({ refused: total });
  }
}
