import { setTimeout as pause } from "node:timers/promises";

/** How many distinct files each tier said that the pool holds; of the snapshot, files alike count each. */
export interface TierMatches {
  snapshot: number;
  keys: number;
  origin: number;
  /** Resources that an earlier request of the push had decided. */
  decided: number;
  /** Matches that the Cloud Controller verified before the response, and those that it rejected. */
  verified: number;
  rejected: number;
}

/** What the Worker logs of a request for matches. */
interface Matched extends Pick<TierMatches, "decided" | "verified" | "rejected"> {
  requestId: string;
  tiers: Record<"memory" | "keys" | "origin", { matched: number }>;
}

const MARK = '{"event":"matched",';
const POLL_MS = 10;
const LOGGED_MAX_MS = 10_000;

/** The Worker's own account of which tier has answered what, read off its log. */
export class MatchedLog {
  readonly #entries = new Map<string, Matched>();

  /** To be given every line that the Worker's process prints. */
  readonly readLine = (line: string): void => {
    const start = line.indexOf(MARK);
    if (start < 0) return;
    const entry: Matched = JSON.parse(line.slice(start));
    this.#entries.set(entry.requestId, entry);
  };

  /**
   * The figures of the requests with these ids together. The log may lag the answers.
   *
   * @throws Error where one of them is not logged
   */
  async sumTiers(requestIds: readonly string[]): Promise<TierMatches> {
    const deadline = Date.now() + LOGGED_MAX_MS;
    const figures = { snapshot: 0, keys: 0, origin: 0, decided: 0, verified: 0, rejected: 0 };
    for (const id of requestIds) {
      while (!this.#entries.has(id) && Date.now() < deadline) await pause(POLL_MS);
      const entry = this.#entries.get(id);
      if (!entry) throw new Error(`the Worker has not logged the request ${id}`);
      for (const name of ["decided", "verified", "rejected"] as const) figures[name] += entry[name];
      figures.snapshot += entry.tiers.memory.matched;
      figures.keys += entry.tiers.keys.matched;
      figures.origin += entry.tiers.origin.matched;
    }
    return figures;
  }
}
