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

/** What is told of an answer. What a request did not come to is 0. */
interface Measurements {
  /** Whether the client identified its push. */
  identified: boolean;
  resources: number;
  eligible: number;
  matched: number;
  /** Of the files that need not be uploaded, one for each entry of the answer. */
  bytes: number;
  tiers: Matches["tiers"];
  /** Resources that earlier requests of the push had decided. */
  decided: number;
  /** Matches that the Cloud Controller confirmed or rejected before the response, and those of them that it rejected. */
  verified: number;
  rejected: number;
  /** For the person who pushes. */
  warnings: number;
}

/** How long a request took in all, and what else than the tiers it waited for, in ms. */
type Times = Record<"total" | "body" | "token" | "pushSessions", number>;

const NO_TALLY = { requested: 0, matched: 0, ms: 0 };
const NO_FIGURES: Measurements = {
  identified: false,
  ...{ resources: 0, eligible: 0, matched: 0, bytes: 0, decided: 0, verified: 0, rejected: 0, warnings: 0 },
  tiers: { memory: NO_TALLY, keys: NO_TALLY, origin: NO_TALLY },
};

/** Tells of a request. Whatever goes wrong with that is logged, and fails no push. */
export function guardTelemetry(log: Log, tell: () => void): void {
  try {
    tell();
  } catch (error) {
    log.error("telemetry-failed", { cause: causeOf(error) });
  }
}

/** What log, METRICS and Server-Timing tell of a request of the endpoint. */
export class RequestMetrics {
  readonly watch = new Stopwatch("body", "token");
  readonly #context: RequestContext;
  #answered: { question: MatchRequest; answered: Resolved } | undefined;

  constructor(context: RequestContext) {
    this.#context = context;
  }

  /** Takes down what was answered to a question. */
  answered(question: MatchRequest, answered: Resolved): void {
    this.#answered = { question, answered };
  }

  /** Tells of the request, and whoever has asked how long it took. The log hears of a refusal elsewhere. */
  close(outcome: Response | Failure): void {
    guardTelemetry(this.#context.log, () => this.#tell(outcome));
  }

  #tell(outcome: Response | Failure): void {
    const { configuration, log } = this.#context;
    const { question, answered } = this.#answered ?? {};
    const response = outcome instanceof Failure ? outcome.relayed : outcome;
    const figures = question && answered ? figuresOf(question, answered) : NO_FIGURES;
    const pushSessions = answered?.decided.ms.pushSessions ?? 0;
    const ms = { total: this.watch.total, ...this.watch.ms, pushSessions };
    if (answered) {
      log.info("matched", { ...figures, ms });
      lastHourOf(configuration).count(figures.eligible, figures.matched, Date.now());
    } else if (response) {
      log.info("relayed", { status: response.status, ms });
    }
    response?.headers.set("Server-Timing", serverTiming(figures, ms));
    const point = {
      outcome: outcome instanceof Failure ? outcome.kind : "answered",
      status: outcome.status,
      ...columnsOf(figures, ms),
    };
    writePoint("resource_matches", point, configuration, log);
  }
}

function figuresOf(
  question: MatchRequest,
  { warnings, matches, decided, isIdentified }: Resolved,
): Measurements {
  const { memory, keys, origin } = matches.tiers;
  const { matched = [], rejected = [] } = decided.verified ?? {};
  return {
    identified: isIdentified,
    resources: question.count,
    eligible: countOf(question.isEligible, 1),
    matched: countOf(decided.isMatch, 1),
    bytes: question.candidates.bytesOf(decided.isMatch),
    tiers: { memory, keys, origin: { ...origin, ms: origin.ms + decided.ms.verification } },
    ...{
      decided: decided.decidedEarlier,
      verified: matched.length + rejected.length,
      rejected: rejected.length,
    },
    warnings: warnings.length,
  };
}

function columnsOf(
  {
    bytes,
    tiers: { memory, keys, origin },
    resources,
    eligible,
    matched,
    decided,
    rejected,
    warnings,
  }: Measurements,
  ms: Times,
): Omit<Point<"resource_matches">, "outcome" | "status"> {
  return {
    ...{ total_ms: ms.total, body_ms: ms.body, token_ms: ms.token, push_sessions_ms: ms.pushSessions },
    ...{ memory_ms: memory.ms, keys_ms: keys.ms, origin_ms: origin.ms },
    ...{ resources, eligible, matched, bytes_matched: bytes },
    ...{ keys_read: keys.requested, origin_requested: origin.requested },
    ...{ memory_matched: memory.matched, keys_matched: keys.matched, origin_matched: origin.matched },
    ...{ decided, rejected, warnings },
  };
}

/** A Server-Timing header, which browsers and curl show: how long a request waited for what, in ms. */
function serverTiming({ tiers: { memory, keys, origin } }: Measurements, ms: Times): string {
  const waits = {
    ...{ body: ms.body, token: ms.token, memory: memory.ms, keys: keys.ms, origin: origin.ms },
    ...{ "push-sessions": ms.pushSessions, total: ms.total },
  };
  return Object.entries(waits)
    .map(([name, dur]) => `${name};dur=${dur}`)
    .join(", ");
}
