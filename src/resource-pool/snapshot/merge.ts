import type { Entries } from "./format.ts";
import type { Removals } from "./removals.ts";

/** Sorted entries that come in chunks, each larger than the one before. */
export interface EntrySource {
  /** The next chunk; undefined at the end, "paused" where the rest is left for another merge. */
  next(): Promise<Entries | "paused" | undefined>;
  /**
   * The snapshot that the merge is to follow, what is added to it, or the keys that are there now: a key is there
   * even where a removal was told, for the file has come back since.
   */
  readonly kind: "base" | "addition" | "keys";
}

/** Takes merged entries in their order. */
export interface EntrySink {
  /** @param isNew whether the base lacks it */
  add(head: number, tail: number, size: number, isNew: boolean): void;
  readonly isFull: boolean;
  flush(): Promise<void>;
}

/** Where a source stands. */
class Cursor {
  readonly source: EntrySource;
  #chunk: Entries = { heads: new Uint32Array(), tails: new Uint32Array() };
  #index = 0;
  head = 0;
  tail = 0;
  size = 0;
  ended = false;
  paused = false;

  constructor(source: EntrySource) {
    this.source = source;
  }

  /** Goes to the next entry of the chunk; false where that takes a new one. */
  step(): boolean {
    const index = this.#index;
    if (index === this.#chunk.heads.length) return false;
    this.head = this.#chunk.heads[index] as number;
    this.tail = this.#chunk.tails[2 * index] as number;
    this.size = this.#chunk.tails[2 * index + 1] as number;
    this.#index = index + 1;
    return true;
  }

  async load(): Promise<void> {
    do {
      const chunk = await this.source.next();
      this.paused = chunk === "paused";
      this.ended = chunk === undefined || chunk === "paused";
      if (chunk === undefined || chunk === "paused") return;
      this.#chunk = chunk;
      this.#index = 0;
    } while (!this.step());
  }

  compare({ head, tail, size }: { head: number; tail: number; size: number }): number {
    return this.head - head || this.tail - tail || this.size - size;
  }
}

/**
 * Merges sorted sources into a sink, equal entries into one, and leaves out what has been removed.
 *
 * @returns whether all is merged; false where a source has paused, and all up to its last entry is merged
 */
export async function mergeEntries(
  sources: readonly EntrySource[],
  removals: Pick<Removals, "has" | "load">,
  sink: EntrySink,
): Promise<boolean> {
  const cursors = sources.map((source) => new Cursor(source));
  for (const cursor of cursors) await cursor.load();
  while (!cursors.some(({ paused }) => paused)) {
    let least: Cursor | undefined;
    for (const cursor of cursors) {
      if (!cursor.ended && (!least || cursor.compare(least) < 0)) least = cursor;
    }
    if (!least) return true;

    const { head, tail, size } = least;
    let isNew = true;
    let isKey = false;
    for (const cursor of cursors) {
      while (!cursor.ended && cursor.head === head && cursor.tail === tail && cursor.size === size) {
        isNew &&= cursor.source.kind !== "base";
        isKey ||= cursor.source.kind === "keys";
        if (!cursor.step()) await cursor.load();
      }
    }
    let isRemoved = removals.has(head, tail);
    while (isRemoved === undefined) {
      await removals.load();
      isRemoved = removals.has(head, tail);
    }
    if (isRemoved && !isKey) continue;
    sink.add(head, tail, size, isNew);
    if (sink.isFull) await sink.flush();
  }
  return false;
}
