import { chunks } from "../../chunks.ts";

const KEYS_PER_READ = 100;
const READS_AT_A_TIME = 4;

/** About 400 MB; the rest of a larger pool is read. */
const LISTED_KEYS_MAX = 4_000_000;

/**
 * Which keys a remote pool holds, for few calls: a page of its list tells 1,000 of its keys, a bulk read tells of
 * 100 keys that are asked for. What is cheaper depends on how large the pool is, and nobody knows that. So for each
 * question as many pages are listed as reading would take calls: a small pool is soon known wholly, and of a large
 * one no more is listed than what it would have cost to read.
 */
export class HeldKeys {
  readonly #pages: AsyncIterator<string[]>;
  readonly #read: (keys: readonly string[]) => Promise<string[]>;
  readonly #listed = new Set<string>();
  #isComplete = false;

  /**
   * @param pages the whole list
   * @param read at most 100 keys; returns those that are held
   */
  constructor(pages: AsyncIterator<string[]>, read: (keys: readonly string[]) => Promise<string[]>) {
    this.#pages = pages;
    this.#read = read;
  }

  async among(keys: readonly string[]): Promise<Set<string>> {
    await this.#listOn(Math.ceil(keys.length / KEYS_PER_READ));
    const held = new Set(keys.filter((key) => this.#listed.has(key)));
    if (this.#isComplete) return held;

    const unknown = keys.filter((key) => !held.has(key));
    for (const some of chunks(chunks(unknown, KEYS_PER_READ), READS_AT_A_TIME)) {
      for (const found of await Promise.all(some.map(this.#read))) for (const key of found) held.add(key);
    }
    return held;
  }

  async #listOn(pages: number): Promise<void> {
    for (let page = 0; page < pages && this.#mayListOn(); page += 1) {
      const { done, value } = await this.#pages.next();
      if (done) this.#isComplete = true;
      else for (const key of value) this.#listed.add(key);
    }
  }

  #mayListOn(): boolean {
    return !this.#isComplete && this.#listed.size < LISTED_KEYS_MAX;
  }
}
