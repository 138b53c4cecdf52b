import { setTimeout as pause } from "node:timers/promises";
import { sha1At, sizeAt } from "../bench/support/resources.ts";
import type { Model } from "./model.ts";

const OBSERVATIONS_MAX = 50_000;
const PACE_MS = 2_000;
const ROUNDS_A_PUBLICATION = 15;
const CHANGED_AT_A_TIME = 200;

/** The operator, who tells the Worker and the model the same. */
export class Operator {
  readonly counts = { told: 0, removed: 0, publications: 0 };
  readonly #url: URL;
  readonly #token: string;
  readonly #model: Model;

  /** @param token of an admin */
  constructor(url: URL, token: string, model: Model) {
    this.#url = url;
    this.#token = token;
    this.#model = model;
  }

  async tell(present: readonly number[], removed: readonly number[] = []): Promise<void> {
    for (let at = 0; at < Math.max(present.length, removed.length); at += OBSERVATIONS_MAX / 2) {
      const [added, taken] = [present, removed].map((all) => all.slice(at, at + OBSERVATIONS_MAX / 2));
      const from = Date.now();
      await this.#post("observations", {
        present: added?.map((index) => ({
          checksum: { value: sha1At(index) },
          size_in_bytes: sizeAt(index),
        })),
        removed: taken?.map((index) => ({ checksum: { value: sha1At(index) } })),
      });
      const to = Date.now();
      for (const index of added ?? []) this.#model.tell(index, { from, to, isPresent: true });
      for (const index of taken ?? []) this.#model.tell(index, { from, to, isPresent: false });
    }
    this.counts.told += present.length;
    this.counts.removed += removed.length;
  }

  async publish(): Promise<void> {
    await this.#post("publication");
    this.counts.publications += 1;
  }

  /** Goes on changing the resources from `first` on, and publishing anew, until it is stopped. */
  async work(first: number, count: number, isOver: () => boolean): Promise<void> {
    for (let round = 1; !isOver(); round++) {
      const indexes = new Set(
        Array.from({ length: CHANGED_AT_A_TIME }, () => first + Math.floor(Math.random() * count)),
      );
      const isPresent = (index: number) => this.#model.isHeldNow(index);
      await this.tell(
        [...indexes].filter((index) => !isPresent(index)),
        [...indexes].filter(isPresent),
      );
      if (round % ROUNDS_A_PUBLICATION === 0) await this.publish();
      await pause(PACE_MS);
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
