import { setTimeout as pause } from "node:timers/promises";

/** Contents that each tier matched. The snapshot counts equal contents of one request separately. */
export interface TierMatches {
  snapshot: number;
  keys: number;
  origin: number;
  /** Resources that an earlier request of the push had decided. */
  decided: number;
  /** Matches that the Cloud Controller verified before the response. */
  verified: number;
  /** Matches that the Cloud Controller rejected before the response. */
  rejected: number;
}

/** The fields of the Worker's log event `matched` that are used here. */
interface MatchedEvent extends Pick<TierMatches, "decided" | "verified" | "rejected"> {
  requestId: string;
  tiers: Record<"memory" | "keys" | "origin", { matched: number }>;
}

const EVENT_START = '{"event":"matched",';
const POLL_MS = 10;
const LOGGED_MAX_MS = 10_000;

/** Collects from the Worker's log which tier matched how many contents of each request. */
export class MatchedLog {
  readonly #events = new Map<string, MatchedEvent>();

  /** Reads a line of the Worker's output. */
  readonly readLine = (line: string): void => {
    const start = line.indexOf(EVENT_START);
    if (start < 0) return;
    const event: MatchedEvent = JSON.parse(line.slice(start));
    this.#events.set(event.requestId, event);
  };

  /**
   * Sums the matches of several requests. Waits for their log events, which may come after the responses.
   *
   * @throws Error if one of the requests is not logged within 10 s
   */
  async sumTiers(requestIds: readonly string[]): Promise<TierMatches> {
    const deadline = Date.now() + LOGGED_MAX_MS;
    const sum = { snapshot: 0, keys: 0, origin: 0, decided: 0, verified: 0, rejected: 0 };
    for (const id of requestIds) {
      while (!this.#events.has(id) && Date.now() < deadline) await pause(POLL_MS);
      const event = this.#events.get(id);
      if (!event) throw new Error(`the Worker has not logged the request ${id}`);
      for (const name of ["decided", "verified", "rejected"] as const) sum[name] += event[name];
      sum.snapshot += event.tiers.memory.matched;
      sum.keys += event.tiers.keys.matched;
      sum.origin += event.tiers.origin.matched;
    }
    return sum;
  }
}
