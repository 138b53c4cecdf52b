import { resourceAt, type SentResource } from "../bench/support/resources.ts";
import { cfHeaders, newTraceId } from "../foundation/cf-push/cf-headers.ts";
import type { Uaa } from "../foundation/uaa/uaa.ts";
import { type Model, SPREAD_MS } from "./model.ts";

/** Files of a request, and how often of a hundred. */
const SIZES = [
  [1, 30],
  [10, 20],
  [100, 25],
  [1_000, 20],
  [5_000, 5],
] as const;
const FULL = 5_000;
/** Of the second request of an app of more than 5,000 files: how many of the first's come again. */
const AGAIN = 200;
const USERS = 20;
const TOKEN_SECONDS = 86_400;
const WRONG_SHOWN_MAX = 20;

/** One request, answered. */
export interface Timed {
  connections: number;
  files: number;
  ms: number;
}

/** Those who push, and what their answers came to. */
export class Pushes {
  readonly timed: Timed[] = [];
  readonly wrong: string[] = [];
  readonly errors: string[] = [];
  readonly counts = { answers: 0, resources: 0, claims: 0, missed: 0, claimedGone: 0 };
  /** ms after the removal. */
  longestClaim = 0;
  readonly #url: URL;
  readonly #uaa: Uaa;
  readonly #model: Model;
  readonly #total: number;
  #tokens: string[] = [];

  /** @param total of resources that there are, held or not */
  constructor(url: URL, uaa: Uaa, model: Model, total: number) {
    this.#url = new URL("/v3/resource_matches", url);
    this.#uaa = uaa;
    this.#model = model;
    this.#total = total;
  }

  async prepare(): Promise<void> {
    this.#tokens = await Promise.all(Array.from({ length: USERS }, () => this.#token()));
  }

  /** One connection that pushes until it is told to stop. */
  async work(connections: number, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const files = drawn();
      if (files < FULL) {
        const token = this.#tokens[Math.floor(Math.random() * USERS)] as string;
        await this.ask(this.#draw(files), token, connections);
        continue;
      }
      // One push in two requests: the second gets the decisions of the first.
      const token = await this.#token();
      const traceId = newTraceId();
      const resources = this.#draw(FULL);
      const first = await this.ask(resources, token, connections, traceId);
      const again = resources.slice(0, AGAIN);
      const second = await this.ask([...again, ...this.#draw(AGAIN)], token, connections, traceId);
      if (!first || !second) continue;
      for (const index of again) {
        if (first.has(index) !== second.has(index)) this.#fail(`${index} is answered both ways in one push`);
      }
    }
  }

  /** @returns those that were matched; undefined where there was no answer */
  async ask(
    indexes: readonly number[],
    token: string,
    connections: number,
    traceId?: string,
  ): Promise<Set<number> | undefined> {
    const body = JSON.stringify({ resources: indexes.map(resourceAt) });
    const from = Date.now();
    const begun = performance.now();
    const matched = await this.#post(body, token, traceId).catch(
      (error) => void this.errors.push(String(error)),
    );
    if (!matched) return undefined;
    this.timed.push({ connections, files: indexes.length, ms: performance.now() - begun });
    return this.#judge(indexes, matched, from, Date.now());
  }

  async #post(body: string, token: string, traceId?: string): Promise<SentResource[]> {
    const response = await fetch(this.#url, {
      method: "POST",
      headers: { Authorization: `bearer ${token}`, ...cfHeaders(traceId) },
      body,
    });
    const answer = (await response.json()) as { resources: SentResource[] };
    if (response.status !== 201) throw new Error(`${response.status} ${JSON.stringify(answer)}`);
    const warnings = response.headers.get("X-Cf-Warnings");
    if (warnings) throw new Error(decodeURIComponent(warnings));
    return answer.resources;
  }

  #judge(indexes: readonly number[], matched: SentResource[], from: number, to: number): Set<number> {
    const claimed = new Set<number>();
    let next = 0;
    for (const index of indexes) {
      const { checksum, size_in_bytes, path, mode } = resourceAt(index);
      const answer = matched[next];
      const isClaimed = answer?.checksum.value === checksum.value && answer.path === path;
      if (isClaimed) {
        next += 1;
        claimed.add(index);
        const isEcho = answer.size_in_bytes === size_in_bytes && answer.mode === mode;
        if (!isEcho) this.#fail(`${index} is not echoed as it was sent`);
        const may = this.#model.mayHaveBeenHeld(index, from - SPREAD_MS, to);
        const gone = this.#model.goneFor(index, from);
        if (!may)
          this.#fail(
            `${index} is claimed, which ${gone === undefined ? "nobody told" : `left ${gone} ms ago`}`,
          );
        if (gone !== undefined) {
          this.counts.claimedGone += 1;
          this.longestClaim = Math.max(this.longestClaim, gone);
        }
      } else if (this.#model.wasPresent(index, from - SPREAD_MS, to)) this.counts.missed += 1;
    }
    if (next !== matched.length)
      this.#fail(`${matched.length - next} entries that nobody asked for, or in disorder`);
    this.counts.answers += 1;
    this.counts.resources += indexes.length;
    this.counts.claims += claimed.size;
    return claimed;
  }

  #fail(text: string): void {
    if (this.wrong.length < WRONG_SHOWN_MAX) this.wrong.push(text);
  }

  /** Distinct ones. */
  #draw(files: number): number[] {
    const start = Math.floor(Math.random() * this.#total);
    // Coprime with the total, so that none comes twice.
    const step = 7_919 * 2 + 1;
    return Array.from({ length: files }, (_, place) => (start + place * step) % this.#total);
  }

  #token(): Promise<string> {
    return this.#uaa.issueToken({
      user: { id: crypto.randomUUID(), name: "pusher" },
      lifetime: TOKEN_SECONDS,
    });
  }
}

function drawn(): number {
  let left = Math.random() * SIZES.reduce((sum, [, share]) => sum + share, 0);
  for (const [files, share] of SIZES) {
    left -= share;
    if (left < 0) return files;
  }
  return 1;
}
