import { setTimeout as pause } from "node:timers/promises";
import { sha1At, sizeAt } from "../bench/support/resources.ts";
import type { ReportedPool } from "./reported-pool.ts";

/** Of either kind in one request, which may have 50,000 observations. */
const OBSERVATIONS_PER_REQUEST = 25_000;
const PAUSE_MS = 2_000;
const ROUNDS_PER_PUBLICATION = 15;
const CHANGES_PER_ROUND = 200;

/** Reports to the Worker, and to the model of the reported pool. */
export class Operator {
  readonly counts = { present: 0, removed: 0, publications: 0 };
  readonly #url: URL;
  readonly #token: string;
  readonly #pool: ReportedPool;

  /** @param token of an admin */
  constructor(url: URL, token: string, pool: ReportedPool) {
    this.#url = url;
    this.#token = token;
    this.#pool = pool;
  }

  async report(present: readonly number[], removed: readonly number[] = []): Promise<void> {
    for (let at = 0; at < Math.max(present.length, removed.length); at += OBSERVATIONS_PER_REQUEST) {
      const presentPart = present.slice(at, at + OBSERVATIONS_PER_REQUEST);
      const removedPart = removed.slice(at, at + OBSERVATIONS_PER_REQUEST);
      const from = Date.now();
      await this.#post("observations", {
        present: presentPart.map((index) => ({
          checksum: { value: sha1At(index) },
          size_in_bytes: sizeAt(index),
        })),
        removed: removedPart.map((index) => ({ checksum: { value: sha1At(index) } })),
      });
      const to = Date.now();
      for (const index of presentPart) this.#pool.report(index, { from, to, isPresent: true });
      for (const index of removedPart) this.#pool.report(index, { from, to, isPresent: false });
    }
    this.counts.present += present.length;
    this.counts.removed += removed.length;
  }

  async publish(): Promise<void> {
    await this.#post("publication");
    this.counts.publications += 1;
  }

  /** Adds and removes random resources from `first` on, and publishes at times, until `isOver`. */
  async run(first: number, count: number, isOver: () => boolean): Promise<void> {
    for (let round = 1; !isOver(); round++) {
      const indexes = new Set(
        Array.from({ length: CHANGES_PER_ROUND }, () => first + Math.floor(Math.random() * count)),
      );
      const removed = [...indexes].filter((index) => this.#pool.isPresent(index));
      const added = [...indexes].filter((index) => !this.#pool.isPresent(index));
      await this.report(added, removed);
      if (round % ROUNDS_PER_PUBLICATION === 0) await this.publish();
      await pause(PAUSE_MS);
    }
  }

  async #post(path: string, body?: object): Promise<void> {
    const response = await fetch(new URL(`/v3/resource_matches/cache/${path}`, this.#url), {
      method: "POST",
      headers: { Authorization: `bearer ${this.#token}` },
      body: body ? JSON.stringify(body) : null,
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}
