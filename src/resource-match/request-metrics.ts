import { countOf } from "../bytes/marks.ts";
import { Failure } from "../failure.ts";
import { lastHourOf } from "../observability/last-hour.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { writePoint } from "../observability/metrics.ts";
import type { Stopwatch } from "../observability/stopwatch.ts";
import type { RequestContext } from "../request-context.ts";
import type { DecidedMatches } from "./decide-matches.ts";
import { CACHE, CONFIRMED } from "./lookup.ts";
import type { Resolved } from "./resolve-request.ts";

/** Runs code that logs or measures. An error in it is logged, and never fails a push. */
export function guardTelemetry(log: Log, run: () => void): void {
  try {
    run();
  } catch (error) {
    log.error("telemetry-failed", { cause: causeOf(error) });
  }
}

/** Logs and measures a request, and adds Server-Timing to the response. A refusal is logged elsewhere. */
export function reportRequest(
  outcome: Resolved | Failure,
  watch: Stopwatch<"body" | "token">,
  { configuration, log }: RequestContext,
): void {
  const resolved = outcome instanceof Failure ? undefined : outcome;
  const measured = resolved && measure(resolved);
  const response = outcome instanceof Failure ? outcome.relayed : outcome.response;
  const { kind, status } = outcome instanceof Failure ? outcome : { kind: "answered", status: 201 };
  const ms = { total: watch.total, ...watch.ms, pushSessions: resolved?.decided.ms.pushSessions ?? 0 };
  if (measured && resolved) {
    log.info("matched", { ...measured, ms });
    if (!resolved.isProbe) {
      const counts = { ...measured, matched_by_cache: countMatchesOfCache(resolved.decided) };
      lastHourOf(configuration).count(counts, Date.now());
    }
  } else if (outcome instanceof Failure && kind === "failed-open") {
    log.warn("failed-open", { reason: outcome.reason, status, ms });
    // Anyone can send a token that neither the Worker nor the Cloud Controller accepts.
    if (status !== 401) lastHourOf(configuration).countFailedOpen(Date.now());
  } else if (response) {
    log.info("relayed", { status, ms });
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
    outcome: kind,
    status,
    bytes_matched: measured?.bytes ?? 0,
    keys_read: keys?.requested ?? 0,
    origin_requested: origin?.requested ?? 0,
    memory_matched: memory?.matched ?? 0,
    keys_matched: keys?.matched ?? 0,
    origin_matched: origin?.matched ?? 0,
  };
  writePoint("resource_matches", point, configuration, log);
}

function measure({ matchRequest, warnings, matches, decided, isIdentified }: Resolved) {
  const { memory, keys, origin } = matches.tiers;
  const { matched = [], notMatched = [] } = decided.verified ?? {};
  return {
    identified: isIdentified,
    resources: matchRequest.count,
    eligible: countOf(matchRequest.isEligible, 1),
    matched: countOf(decided.isMatch, 1),
    /** Sizes of the matched files, each as often as the response has it. */
    bytes: matchRequest.candidates.bytesOf(decided.isMatch),
    tiers: { memory, keys, origin: { ...origin, ms: origin.ms + decided.ms.verification } },
    decided: decided.decidedEarlier,
    verified: matched.length + notMatched.length,
    rejected: notMatched.length,
    warnings: warnings.length,
  };
}

function countMatchesOfCache({ isMatch, foundBy }: DecidedMatches): number {
  const isOfCache = (index: number) => foundBy[index] === CACHE || foundBy[index] === CONFIRMED;
  return isMatch.reduce((count, is, index) => (is === 1 && isOfCache(index) ? count + 1 : count), 0);
}

/** The Server-Timing header, which browsers and curl show: `body;dur=1, push-sessions;dur=2`. */
function serverTiming(durations: Record<string, number>): string {
  return Object.entries(durations)
    .map(([column, ms]) => `${column.replace(/_ms$/, "").replaceAll("_", "-")};dur=${ms}`)
    .join(", ");
}
