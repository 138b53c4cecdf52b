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

/** Times of a request, except those of the tiers, in ms. */
type Times = Record<"total" | "body" | "token" | "pushSessions", number>;

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
    const measured = matchRequest && resolved && measure(matchRequest, resolved);
    const pushSessions = resolved?.decided.ms.pushSessions ?? 0;
    const ms = { total: this.watch.total, ...this.watch.ms, pushSessions };
    if (measured) {
      log.info("matched", { ...measured, ms });
      lastHourOf(configuration).count(measured.eligible, measured.matched, Date.now());
    } else if (response) {
      log.info("relayed", { status: response.status, ms });
    }
    response?.headers.set("Server-Timing", serverTiming(ms, measured?.tiers));
    const point = {
      outcome: outcome instanceof Failure ? outcome.kind : "answered",
      status: outcome.status,
      total_ms: ms.total,
      body_ms: ms.body,
      token_ms: ms.token,
      push_sessions_ms: ms.pushSessions,
      ...(measured && toColumns(measured)),
    };
    writePoint("resource_matches", point, configuration, log);
  }
}

function measure(
  { count, candidates, isEligible }: MatchRequest,
  { warnings, matches, decided, isIdentified }: Resolved,
) {
  const { memory, keys, origin } = matches.tiers;
  const { matched = [], notMatched = [] } = decided.verified ?? {};
  return {
    identified: isIdentified,
    resources: count,
    eligible: countOf(isEligible, 1),
    matched: countOf(decided.isMatch, 1),
    /** Sizes of the matched files, each as often as the response has it. */
    bytes: candidates.bytesOf(decided.isMatch),
    tiers: { memory, keys, origin: { ...origin, ms: origin.ms + decided.ms.verification } },
    decided: decided.decidedEarlier,
    verified: matched.length + notMatched.length,
    rejected: notMatched.length,
    warnings: warnings.length,
  };
}

function toColumns({ tiers: { memory, keys, origin }, ...measured }: ReturnType<typeof measure>) {
  return {
    memory_ms: memory.ms,
    keys_ms: keys.ms,
    origin_ms: origin.ms,
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
  } satisfies Partial<Point<"resource_matches">>;
}

/** The Server-Timing header, which browsers and curl show. A refused request has no times of tiers. */
function serverTiming(ms: Times, tiers?: Matches["tiers"]): string {
  const durations = {
    body: ms.body,
    token: ms.token,
    memory: tiers?.memory.ms ?? 0,
    keys: tiers?.keys.ms ?? 0,
    origin: tiers?.origin.ms ?? 0,
    "push-sessions": ms.pushSessions,
    total: ms.total,
  };
  return Object.entries(durations)
    .map(([name, duration]) => `${name};dur=${duration}`)
    .join(", ");
}
