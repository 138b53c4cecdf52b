import { resourceAt, type SentResource } from "../bench/support/resources.ts";
import { cfHeaders, newTraceId } from "../foundation/cf-push/cf-headers.ts";
import type { Uaa } from "../foundation/uaa/uaa.ts";
import { PROPAGATION_MS, type ReportedPool } from "./reported-pool.ts";

/** Resources of a request, and its percentage of all requests. */
const SIZES = [
  [1, 30],
  [10, 20],
  [100, 25],
  [1_000, 20],
  [5_000, 5],
] as const;
const FULL = 5_000;
/** The second request of a push repeats this many resources of the first. */
const REPEATED = 200;
const USERS = 20;
const TOKEN_SECONDS = 86_400;
const MESSAGES_MAX = 20;

/** The duration of one request. */
export interface Timing {
  connections: number;
  resources: number;
  ms: number;
}

/** Sends pushes, and checks each response. */
export class Pushes {
  readonly timings: Timing[] = [];
  /** What was wrong in responses, at most 20 messages. */
  readonly wrong: string[] = [];
  readonly errors: string[] = [];
  readonly counts = { responses: 0, resources: 0, matches: 0, missed: 0, stale: 0 };
  /** From a removal to its last match. */
  longestStaleMs = 0;
  readonly #url: URL;
  readonly #uaa: Uaa;
  readonly #pool: ReportedPool;
  readonly #total: number;
  #tokens: string[] = [];

  /** @param total the number of resources, present or not */
  constructor(url: URL, uaa: Uaa, pool: ReportedPool, total: number) {
    this.#url = new URL("/v3/resource_matches", url);
    this.#uaa = uaa;
    this.#pool = pool;
    this.#total = total;
  }

  async prepare(): Promise<void> {
    this.#tokens = await Promise.all(Array.from({ length: USERS }, () => this.#issueToken()));
  }

  /** Pushes on one connection until `isOver`. */
  async run(connections: number, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const size = drawSize();
      if (size < FULL) {
        const token = this.#tokens[Math.floor(Math.random() * USERS)] as string;
        await this.send(this.#draw(size), token, connections);
        continue;
      }
      // A push of two requests: the second must get the decisions of the first (R3.1).
      const token = await this.#issueToken();
      const traceId = newTraceId();
      const resources = this.#draw(FULL);
      const first = await this.send(resources, token, connections, traceId);
      const repeated = resources.slice(0, REPEATED);
      const second = await this.send([...repeated, ...this.#draw(REPEATED)], token, connections, traceId);
      if (!first || !second) continue;
      for (const index of repeated) {
        if (first.has(index) !== second.has(index)) this.#fail(`${index} gets two decisions in one push`);
      }
    }
  }

  /** @returns the matched resources; undefined after an error */
  async send(
    indexes: readonly number[],
    token: string,
    connections: number,
    traceId?: string,
  ): Promise<Set<number> | undefined> {
    const body = JSON.stringify({ resources: indexes.map(resourceAt) });
    const from = Date.now();
    const startedAt = performance.now();
    const matched = await this.#post(body, token, traceId).catch(
      (error) => void this.errors.push(String(error)),
    );
    if (!matched) return undefined;
    this.timings.push({ connections, resources: indexes.length, ms: performance.now() - startedAt });
    return this.#check(indexes, matched, from, Date.now());
  }

  async #post(body: string, token: string, traceId?: string): Promise<SentResource[]> {
    const response = await fetch(this.#url, {
      method: "POST",
      headers: { Authorization: `bearer ${token}`, ...cfHeaders(traceId) },
      body,
    });
    const result = (await response.json()) as { resources: SentResource[] };
    if (response.status !== 201) throw new Error(`${response.status} ${JSON.stringify(result)}`);
    const warnings = response.headers.get("X-Cf-Warnings");
    if (warnings) throw new Error(decodeURIComponent(warnings));
    return result.resources;
  }

  /** The response must list matched resources unchanged and in the order of the request. */
  #check(indexes: readonly number[], listed: SentResource[], from: number, to: number): Set<number> {
    const matched = new Set<number>();
    let next = 0;
    for (const index of indexes) {
      const { checksum, size_in_bytes, path, mode } = resourceAt(index);
      const entry = listed[next];
      if (entry?.checksum.value !== checksum.value || entry.path !== path) {
        if (this.#pool.wasPresent(index, from - PROPAGATION_MS, to)) this.counts.missed += 1;
        continue;
      }
      next += 1;
      matched.add(index);
      const isUnchanged = entry.size_in_bytes === size_in_bytes && entry.mode === mode;
      if (!isUnchanged) this.#fail(`${index} is listed with another size or mode`);
      const removedForMs = this.#pool.removedForMs(index, from);
      if (!this.#pool.mayHaveBeenPresent(index, from - PROPAGATION_MS, to)) {
        const reason = removedForMs === undefined ? "never reported" : `removed ${removedForMs} ms ago`;
        this.#fail(`${index} is matched, which was ${reason}`);
      }
      if (removedForMs !== undefined) {
        this.counts.stale += 1;
        this.longestStaleMs = Math.max(this.longestStaleMs, removedForMs);
      }
    }
    if (next !== listed.length)
      this.#fail(`${listed.length - next} entries are not in the request, or not in its order`);
    this.counts.responses += 1;
    this.counts.resources += indexes.length;
    this.counts.matches += matched.size;
    return matched;
  }

  #fail(message: string): void {
    if (this.wrong.length < MESSAGES_MAX) this.wrong.push(message);
  }

  /** Distinct resources. */
  #draw(count: number): number[] {
    const start = Math.floor(Math.random() * this.#total);
    // Coprime with the total, so that no resource is drawn twice.
    const step = 7_919 * 2 + 1;
    return Array.from({ length: count }, (_, index) => (start + index * step) % this.#total);
  }

  #issueToken(): Promise<string> {
    return this.#uaa.issueToken({
      user: { id: crypto.randomUUID(), name: "pusher" },
      lifetime: TOKEN_SECONDS,
    });
  }
}

function drawSize(): number {
  let left = Math.random() * SIZES.reduce((sum, [, share]) => sum + share, 0);
  for (const [size, share] of SIZES) {
    left -= share;
    if (left < 0) return size;
  }
  return 1;
}
