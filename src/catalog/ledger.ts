import { chunks } from "../chunks.ts";
import { toHex } from "../hex.ts";
import { parseResourceKey, type ResourceKey, sizeOf } from "../resource-key.ts";
import { sha1Bytes } from "../sha1.ts";
import type { MemoryTable } from "./memory.ts";
import { BELIEVED_MS, noRefusals, type Observations, type Observed, type Refusal } from "./observations.ts";
import { STATE } from "./tables.ts";

/** A row of the table `resources`. */
type Row = { size: number | null; measured: number; state: number; observed_at: number };

/** Bytes, both included. */
export interface SizeLimits {
  minimumSize: number;
  maximumSize: number;
}

const ROWS_PER_INSERT = 1000;

/** 16 random bytes in hex. */
export function newSecret(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)));
}

/** Takes observations into the catalog's tables. Every method is to run within a transaction. */
export class Ledger {
  readonly #sql: SqlStorage;
  readonly #memory: MemoryTable;

  constructor(sql: SqlStorage, memory: MemoryTable) {
    this.#sql = sql;
    this.#memory = memory;
  }

  /** Of each SHA-1 the later observation wins, and at the same time "not held" does. */
  record({ asOf, held = [], removed = [], sizes }: Observations, limits: SizeLimits, now: number): Observed {
    const seenAt = Math.min(asOf, now);
    const revision = this.#memory.get("revision") + 1;
    const observed = { changed: 0, unchanged: 0, refused: noRefusals() };
    const count = (outcome: boolean | Refusal) => {
      if (typeof outcome === "string") observed.refused[outcome] += 1;
      else if (outcome) observed.changed += 1;
      else observed.unchanged += 1;
    };

    for (const sha1 of removed) count(this.#removed(sha1Bytes(sha1), seenAt, revision, now));
    const isBelieved = seenAt > now - BELIEVED_MS && seenAt > this.#memory.get("forgottenAt");
    const isMeasured = sizes === "measured";
    const taken: ResourceKey[] = [];
    for (const key of held) {
      const size = sizeOf(key);
      if (!isBelieved) count("too-old");
      else if (size < limits.minimumSize || size > limits.maximumSize) count("outside-limits");
      else taken.push(key);
    }
    // In the order of the table: each of its pages is then visited once, however large it is.
    taken.sort();
    for (const some of chunks(taken, ROWS_PER_INSERT)) {
      const known = this.#insert(some, isMeasured, seenAt, revision);
      observed.changed += some.length - known.length;
      for (const key of known) {
        const { sha1, size } = parseResourceKey(key);
        count(this.#held(sha1Bytes(sha1), size, isMeasured, seenAt, revision, now));
      }
    }

    if (observed.changed > 0) this.#memory.set({ revision });
    this.#countRefusals(observed);
    return observed;
  }

  /** @param sha1 lower-case hex */
  isHeld(sha1: string): boolean {
    const row = this.#row(sha1Bytes(sha1));
    return row !== undefined && row.state !== STATE.removed;
  }

  /** Forgets everything; nothing that was seen until `now` is believed any more. */
  forget(now: number): void {
    this.#departAll(now);
    this.#sql.exec("DELETE FROM resources");
    this.#memory.set({ forgottenAt: now });
  }

  /** The catalog describes the cache under another prefix from now on: of the one before it keeps what must be deleted. */
  moveTo(prefix: string, now: number): void {
    const before = this.#memory.get("prefix");
    this.#departAll(now);
    const others = this.#memory
      .get("retired")
      .filter((one) => one.prefix !== prefix && one.prefix !== before);
    this.#memory.set({ prefix, retired: [...others, { prefix: before, writtenAt: null }] });
  }

  /** Nothing is held any more; removals are remembered, for a "held" of before them may still arrive. */
  #departAll(now: number): void {
    const revision = this.#memory.get("revision") + 1;
    this.#sql.exec(
      `INSERT OR REPLACE INTO departed SELECT ?, sha1, size, ?, ?, 1, NULL FROM resources WHERE state IN (?, ?)`,
      this.#memory.get("prefix"),
      revision,
      now,
      STATE.keyBegun,
      STATE.keyed,
    );
    this.#sql.exec("DELETE FROM departed WHERE keyed = 0");
    this.#sql.exec("DELETE FROM resources WHERE state < ?", STATE.removed);
    const epoch = this.#memory.get("epoch") + 1;
    this.#memory.set({ revision, epoch, secret: newSecret(), snapshot: null, published: null });
  }

  /**
   * Takes down those of which the catalog knows nothing, by one statement, which takes a third of the time of one for each.
   *
   * @returns the others: those that have a row, whose SHA-1 has come before, or that departed with this size
   */
  #insert(
    keys: readonly ResourceKey[],
    isMeasured: boolean,
    seenAt: number,
    revision: number,
  ): ResourceKey[] {
    const inserted = this.#sql
      .exec<{ key: ResourceKey }>(
        `INSERT INTO resources (sha1, size, measured, state, observed_at, revision)
          SELECT told.sha1, told.size, ?, ?, ?, ? FROM
            (SELECT unhex(substr(value, 1, 40)) AS sha1, CAST(substr(value, 42) AS INTEGER) AS size FROM json_each(?)) told
          WHERE NOT EXISTS
            (SELECT 1 FROM departed WHERE prefix = ? AND departed.sha1 = told.sha1 AND departed.size = told.size)
          ON CONFLICT DO NOTHING RETURNING lower(hex(sha1)) || ':' || size AS key`,
        isMeasured ? 1 : 0,
        STATE.unkeyed,
        seenAt,
        revision,
        JSON.stringify(keys),
        this.#memory.get("prefix"),
      )
      .toArray();
    if (inserted.length === keys.length) return [];
    const fresh = new Set(inserted.map(({ key }) => key));
    // One that comes twice is known the second time.
    return keys.filter((key) => !fresh.delete(key));
  }

  /** @returns whether the catalog holds something else than before */
  #held(
    sha1: Uint8Array,
    size: number,
    isMeasured: boolean,
    seenAt: number,
    revision: number,
    now: number,
  ): boolean | Refusal {
    const row = this.#row(sha1);
    if (!row) {
      this.#sql.exec(
        "INSERT INTO resources (sha1, size, measured, state, observed_at, revision) VALUES (?, ?, ?, ?, ?, ?)",
        sha1,
        size,
        isMeasured ? 1 : 0,
        this.#comeBack(sha1, size),
        seenAt,
        revision,
      );
      return true;
    }
    const isHeld = row.state !== STATE.removed;
    // A content has one size: one that was measured stands, whenever that was, against one that was said.
    if (row.measured && !isMeasured && size !== row.size) return "made-up-size";
    const isCorrected = isHeld && isMeasured && !row.measured;
    if (seenAt <= row.observed_at && !isCorrected) return false;

    const observedAt = Math.max(seenAt, row.observed_at);
    const measured = isMeasured || row.measured ? 1 : 0;
    if (isHeld && size === row.size) {
      this.#sql.exec(
        "UPDATE resources SET observed_at = ?, measured = ? WHERE sha1 = ?",
        observedAt,
        measured,
        sha1,
      );
      return false;
    }
    if (isHeld) this.#depart(sha1, row, revision, now);
    this.#sql.exec(
      "UPDATE resources SET size = ?, measured = ?, state = ?, observed_at = ?, revision = ? WHERE sha1 = ?",
      size,
      measured,
      this.#comeBack(sha1, size),
      observedAt,
      revision,
      sha1,
    );
    return true;
  }

  /** @returns whether it was held before */
  #removed(sha1: Uint8Array, seenAt: number, revision: number, now: number): boolean {
    const row = this.#row(sha1);
    if (!row) {
      this.#sql.exec(
        "INSERT INTO resources (sha1, size, measured, state, observed_at, revision) VALUES (?, NULL, 0, ?, ?, ?)",
        sha1,
        STATE.removed,
        seenAt,
        revision,
      );
      return false;
    }
    if (seenAt < row.observed_at) return false;
    const isHeld = row.state !== STATE.removed;
    if (isHeld) this.#depart(sha1, row, revision, now);
    this.#sql.exec(
      "UPDATE resources SET state = ?, observed_at = ?, revision = ? WHERE sha1 = ?",
      STATE.removed,
      seenAt,
      revision,
      sha1,
    );
    return isHeld;
  }

  #row(sha1: Uint8Array): Row | undefined {
    const query = "SELECT size, measured, state, observed_at FROM resources WHERE sha1 = ?";
    return this.#sql.exec<Row>(query, sha1).toArray()[0];
  }

  #depart(sha1: Uint8Array, { size, state }: Row, revision: number, now: number): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO departed VALUES (?, ?, ?, ?, ?, ?, NULL)",
      this.#memory.get("prefix"),
      sha1,
      size,
      revision,
      now,
      state === STATE.unkeyed ? 0 : 1,
    );
  }

  /** The state of a resource that is held anew: Workers KV may have the key of one that had departed. */
  #comeBack(sha1: Uint8Array, size: number): number {
    const departed = this.#sql
      .exec<{ keyed: number }>(
        "DELETE FROM departed WHERE prefix = ? AND sha1 = ? AND size = ? RETURNING keyed",
        this.#memory.get("prefix"),
        sha1,
        size,
      )
      .toArray()[0];
    return departed?.keyed ? STATE.keyBegun : STATE.unkeyed;
  }

  #countRefusals({ refused }: Observed): void {
    const total = { ...this.#memory.get("refused") };
    if (Object.values(refused).every((count) => count === 0)) return;
    for (const reason of Object.keys(refused) as Refusal[]) total[reason] += refused[reason];
    this.#memory.set({ refused: total });
  }
}
