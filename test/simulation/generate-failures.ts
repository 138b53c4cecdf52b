import type { Random } from "./random.ts";
import type { Action, Bug, Operation, Push, RequestFault, Settings } from "./schedule.ts";

const SECOND_MS = 1_000;
/** How often each failure of the Worker affects a request of a push … */
const REQUEST_FAILURES = {
  "in-authentication": 2,
  "before-session": 4,
  "after-lookup": 2,
  "after-decision": 4,
  "uaa-error": 1,
  "uaa-hang": 1,
} satisfies Partial<Record<RequestFault, number>>;
/** … or all requests for a time. */
const LASTING_FAILURES = { bug: 3, uaa: 2, "uaa-key": 2, misconfigure: 2 } satisfies Partial<
  Record<Action["type"], number>
>;
const BUGS: readonly Bug[] = ["in-authentication", "before-session", "after-lookup", "after-decision"];

/** Failures of the Worker during a push: the Cloud Controller responds in place of it, or the push has to be repeated. */
export function failuresDuring(at: number, push: Push, settings: Settings, random: Random): Operation[] {
  const requests = push.apps.flatMap((app) => settings.apps?.[app] ?? []).length;
  return Array.from({ length: random.pick([1, 1, 2, 3]) }, (): Operation => {
    const request = random.integer(0, requests - 1);
    if (random.chance(0.4)) return lastingFailure(at, push, request, random);
    const what = random.weighted(random.chance(0.2) ? { "other-isolate": 1 } : REQUEST_FAILURES);
    return { at, type: "request-fault", push: push.push, request, what };
  });
}

/** It may begin just before the request. */
function lastingFailure(
  pushedAt: number,
  { gapMs, place, isolate }: Push,
  request: number,
  random: Random,
): Operation {
  const at = Math.max(0, pushedAt + request * (gapMs + SECOND_MS) - random.integer(0, 2 * SECOND_MS));
  const durationMs = random.integer(1, random.pick([3, 60, 300])) * SECOND_MS;
  switch (random.weighted(LASTING_FAILURES)) {
    case "bug":
      return { at, type: "bug", place, isolate, bug: random.pick(BUGS), durationMs };
    case "uaa":
      return { at, type: "uaa", how: random.pick(["error", "hang", "slow"] as const), durationMs };
    case "uaa-key":
      return { at, type: "uaa-key" };
    case "misconfigure":
      return { at, type: "misconfigure", overlapMs: random.pick([0, 10, 60]) * SECOND_MS, durationMs };
  }
}
