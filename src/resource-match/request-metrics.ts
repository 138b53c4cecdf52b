import { countOf } from "../bytes/marks.ts";
import { Failure } from "../failure.ts";
import { lastHourOf } from "../observability/last-hour.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { type Point, writePoint } from "../observability/metrics.ts";
import { Stopwatch } from "../observability/stopwatch.ts";
import type { RequestContext } from "../request-context.ts";
import type { Matches } from "./lookup.ts";
import type { MatchRequest } from "./match-request.ts";
import type { Resolved } from "./resolve-request.ts";

/** Measurements of a request. Those of a step that the request did not reach are 0. */
interface Measurements {
  /** Whether the client identified its push. */
  identified: boolean;
  resources: number;
  eligible: number;
  matched: number;
  /** Sizes of the matched files, each as often as the response has it. */
  bytes: number;
  tiers: Matches["tiers"];
  /** Resources that earlier requests of the push had decided. */
  decided: number;
  /** Matches that the Cloud Controller confirmed or rejected before the response. */
  verified: number;
  rejected: number;
  warnings: number;
}

/** Times of a request, except those of the tiers, in ms. */
type Times = Record<"total" | "body" | "token" | "pushSessions", number>;

const NO_TALLY = { requested: 0, matched: 0, ms: 0 };
const NOT_RESOLVED: Measurements = {
  identified: false,
  resources: 0,
  eligible: 0,
  matched: 0,
  bytes: 0,
  tiers: { memory: NO_TALLY, keys: NO_TALLY, origin: NO_TALLY },
  decided: 0,
  verified: 0,
  rejected: 0,
  warnings: 0,
};

/** Runs code that logs or measures. An error in it is logged, and never fails a push. */
export function guardTelemetry(log: Log, run: () => void): void {
  try {
    run();
  } catch (error) {
    log.error("telemetry-failed", { cause: causeOf(error) });
  }
}

/** Measures a request to the endpoint, for the log, METRICS and the Server-Timing header. */
export class RequestMetrics {
  readonly watch = new Stopwatch("body", "token");
  readonly #context: RequestContext;
  #resolved: { matchRequest: MatchRequest; resolved: Resolved } | undefined;

  constructor(context: RequestContext) {
    this.#context = context;
  }

  addResolved(matchRequest: MatchRequest, resolved: Resolved): void {
    this.#resolved = { matchRequest, resolved };
  }

  /** Logs and measures the request, and adds Server-Timing to the response. A refusal is logged elsewhere. Never throws. */
  report(outcome: Response | Failure): void {
    guardTelemetry(this.#context.log, () => this.#report(outcome));
  }

  #report(outcome: Response | Failure): void {
    const { configuration, log } = this.#context;
    const { matchRequest, resolved } = this.#resolved ?? {};
    const response = outcome instanceof Failure ? outcome.relayed : outcome;
    const measured = matchRequest && resolved ? measure(matchRequest, resolved) : NOT_RESOLVED;
    const pushSessions = resolved?.decided.ms.pushSessions ?? 0;
    const ms = { total: this.watch.total, ...this.watch.ms, pushSessions };
    if (resolved) {
      log.info("matched", { ...measured, ms });
      lastHourOf(configuration).count(measured.eligible, measured.matched, Date.now());
    } else if (response) {
      log.info("relayed", { status: response.status, ms });
    }
    response?.headers.set("Server-Timing", serverTiming(measured, ms));
    const kind = outcome instanceof Failure ? outcome.kind : "answered";
    const point = { outcome: kind, status: outcome.status, ...toColumns(measured, ms) };
    writePoint("resource_matches", point, configuration, log);
  }
}

function measure(
  { count, candidates, isEligible }: MatchRequest,
  { warnings, matches, decided, isIdentified }: Resolved,
): Measurements {
  const { memory, keys, origin } = matches.tiers;
  const { confirmed = [], rejected = [] } = decided.verified ?? {};
  return {
    identified: isIdentified,
    resources: count,
    eligible: countOf(isEligible, 1),
    matched: countOf(decided.isMatch, 1),
    bytes: candidates.bytesOf(decided.isMatch),
    tiers: { memory, keys, origin: { ...origin, ms: origin.ms + decided.ms.verification } },
    decided: decided.decidedEarlier,
    verified: confirmed.length + rejected.length,
    rejected: rejected.length,
    warnings: warnings.length,
  };
}

function toColumns(
  measured: Measurements,
  ms: Times,
): Required<Omit<Point<"resource_matches">, "outcome" | "status">> {
  const { memory, keys, origin } = measured.tiers;
  return {
    total_ms: ms.total,
    body_ms: ms.body,
    token_ms: ms.token,
    memory_ms: memory.ms,
    keys_ms: keys.ms,
    origin_ms: origin.ms,
    push_sessions_ms: ms.pushSessions,
    resources: measured.resources,
    eligible: measured.eligible,
    matched: measured.matched,
    bytes_matched: measured.bytes,
    keys_read: keys.requested,
    origin_requested: origin.requested,
    memory_matched: memory.matched,
    keys_matched: keys.matched,
    origin_matched: origin.matched,
    decided: measured.decided,
    rejected: measured.rejected,
    warnings: measured.warnings,
  };
}

/** The Server-Timing header, which browsers and curl show. */
function serverTiming({ tiers: { memory, keys, origin } }: Measurements, ms: Times): string {
  const durations = {
    body: ms.body,
    token: ms.token,
    memory: memory.ms,
    keys: keys.ms,
    origin: origin.ms,
    "push-sessions": ms.pushSessions,
    total: ms.total,
  };
  return Object.entries(durations)
    .map(([name, duration]) => `${name};dur=${duration}`)
    .join(", ");
}
