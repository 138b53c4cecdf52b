import { countOf } from "../bytes/marks.ts";
import { Failure } from "../failure.ts";
import { lastHourOf } from "../observability/last-hour.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { writePoint } from "../observability/metrics.ts";
import { Stopwatch } from "../observability/stopwatch.ts";
import type { RequestContext } from "../request-context.ts";
import type { MatchRequest } from "./match-request.ts";
import type { Resolved } from "./resolve-request.ts";

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
    // A refused request has no times of tiers.
    const { memory, keys, origin } = measured?.tiers ?? {};
    const durations = {
      body_ms: ms.body,
      token_ms: ms.token,
      memory_ms: memory?.ms ?? 0,
      keys_ms: keys?.ms ?? 0,
      origin_ms: origin?.ms ?? 0,
      push_sessions_ms: ms.pushSessions,
      total_ms: ms.total,
    };
    response?.headers.set("Server-Timing", serverTiming(durations));
    const point = {
      ...measured,
      ...durations,
      outcome: outcome instanceof Failure ? outcome.kind : "answered",
      status: outcome.status,
      bytes_matched: measured?.bytes ?? 0,
      keys_read: keys?.requested ?? 0,
      origin_requested: origin?.requested ?? 0,
      memory_matched: memory?.matched ?? 0,
      keys_matched: keys?.matched ?? 0,
      origin_matched: origin?.matched ?? 0,
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

/** The Server-Timing header, which browsers and curl show: `body;dur=1, push-sessions;dur=2`. */
function serverTiming(durations: Record<string, number>): string {
  return Object.entries(durations)
    .map(([column, ms]) => `${column.replace(/_ms$/, "").replaceAll("_", "-")};dur=${ms}`)
    .join(", ");
}
