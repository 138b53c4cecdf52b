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

/** What the cache would have matched in shadow mode. */
export interface ShadowMatches {
  wouldMatch: number;
  /** Matches of the Cloud Controller that the cache does not have. */
  missedMatches: number;
}

interface ShadowedEvent extends ShadowMatches {
  traceId: string;
}

const MATCHED = '{"event":"matched",';
const SHADOWED = '{"event":"shadowed",';
const POLL_MS = 10;
const LOGGED_MAX_MS = 10_000;

/** Collects from the Worker's log which tier matched how many contents of each request, or would match in shadow mode. */
export class MatchedLog {
  readonly #events = new Map<string, MatchedEvent>();
  readonly #shadowed = new Map<string, ShadowedEvent>();

  /** Reads a line of the Worker's output. */
  readonly readLine = (line: string): void => {
    const matched = parseEvent<MatchedEvent>(line, MATCHED);
    if (matched) this.#events.set(matched.requestId, matched);
    const shadowed = parseEvent<ShadowedEvent>(line, SHADOWED);
    if (shadowed) this.#shadowed.set(shadowed.traceId, shadowed);
  };

  /**
   * Sums the matches of several requests. Waits for their log events, which may come after the responses.
   *
   * @throws Error if one of the requests is not logged within 10 s
   */
  async sumTiers(requestIds: readonly string[]): Promise<TierMatches> {
    const sum = { snapshot: 0, keys: 0, origin: 0, decided: 0, verified: 0, rejected: 0 };
    for (const id of requestIds) {
      const event = await waitFor(this.#events, id);
      for (const name of ["decided", "verified", "rejected"] as const) sum[name] += event[name];
      sum.snapshot += event.tiers.memory.matched;
      sum.keys += event.tiers.keys.matched;
      sum.origin += event.tiers.origin.matched;
    }
    return sum;
  }

  /**
   * Waits for the log event of a request in shadow mode.
   *
   * @param traceId of a push with one request: the response has the Cloud Controller's request id, which the Worker does not log
   * @throws Error if it is not logged within 10 s
   */
  waitForShadowed(traceId: string): Promise<ShadowMatches> {
    return waitFor(this.#shadowed, traceId);
  }
}

function parseEvent<T>(line: string, eventStart: string): T | undefined {
  const start = line.indexOf(eventStart);
  return start < 0 ? undefined : JSON.parse(line.slice(start));
}

async function waitFor<T>(events: ReadonlyMap<string, T>, id: string): Promise<T> {
  const deadline = Date.now() + LOGGED_MAX_MS;
  for (;;) {
    const event = events.get(id);
    if (event) return event;
    if (Date.now() > deadline) throw new Error(`the Worker has not logged the request ${id}`);
    await pause(POLL_MS);
  }
}
