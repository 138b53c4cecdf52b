import { parseCacheKey } from "../resource-key.ts";
import { sha1Word } from "../sha1.ts";
import { type Entries, openPart, SIZE_MAX } from "./format.ts";
import type { EntrySource } from "./merge.ts";
import { type Pointer, type SnapshotStore, snapshotNames } from "./store.ts";

/** Where a merge goes on: all entries up to this one have been merged. */
export type Position = readonly [head: number, tail: number, size: number];

/** The entries of a stored snapshot or addition after `after`, a part at a time. */
export function storedSource(
  kind: "base" | "addition",
  store: SnapshotStore,
  keyPrefix: string,
  { id, parts }: Pick<Pointer, "id" | "parts">,
  after: Position | undefined,
): EntrySource {
  let number = 0;
  return {
    kind,
    async next() {
      while (number < parts) {
        const buffer = await store.get(snapshotNames(keyPrefix).part(id, number));
        if (buffer === null) throw new Error(`part ${number} of ${id} is missing`);
        const rest = entriesAfter(openPart(buffer, id, number), after);
        number += 1;
        if (rest.heads.length > 0) return rest;
      }
      return undefined;
    },
  };
}

function entriesAfter({ heads, tails }: Entries, after: Position | undefined): Entries {
  if (!after) return { heads, tails };
  const [head, tail, size] = after;
  const isAfter = (index: number) =>
    ((heads[index] as number) - head ||
      (tails[2 * index] as number) - tail ||
      (tails[2 * index + 1] as number) - size) > 0;
  let from = 0;
  let to = heads.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (isAfter(middle)) to = middle;
    else from = middle + 1;
  }
  return { heads: heads.subarray(from), tails: tails.subarray(2 * from) };
}

/** The keys of the pool, a page of their listing at a time. KV lists names in order, and so in that of entries. */
export class KeySource implements EntrySource {
  readonly kind = "keys";
  readonly #store: SnapshotStore;
  readonly #keyPrefix: string;
  #cursor: string | undefined;
  #listings: number;
  #ended = false;

  /** @param listings the number of pages after which the source stops, to go on later */
  constructor(store: SnapshotStore, keyPrefix: string, cursor: string | undefined, listings: number) {
    this.#store = store;
    this.#keyPrefix = keyPrefix;
    this.#cursor = cursor;
    this.#listings = listings;
  }

  /** Where to go on. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  async next(): Promise<Entries | "paused" | undefined> {
    if (this.#ended) return undefined;
    if (this.#listings === 0) return "paused";
    this.#listings -= 1;
    const { names, cursor } = await this.#store.list(this.#keyPrefix, this.#cursor);
    // Everything that begins with no hex digit stands after the keys of the pool.
    const last = names.at(-1);
    this.#ended = cursor === undefined || (last !== undefined && last >= `${this.#keyPrefix}g`);
    this.#cursor = cursor;
    return toEntries(names, this.#keyPrefix);
  }
}

function toEntries(names: readonly string[], keyPrefix: string): Entries {
  const keys = names
    .flatMap((name) => parseCacheKey(name, keyPrefix) ?? [])
    .filter(({ size }) => size <= SIZE_MAX);
  const heads = new Uint32Array(keys.length);
  const tails = new Uint32Array(2 * keys.length);
  keys.forEach(({ sha1, size }, index) => {
    heads[index] = sha1Word(sha1, 0);
    tails[2 * index] = sha1Word(sha1, 4);
    tails[2 * index + 1] = size;
  });
  return { heads, tails };
}
