import type { Fault } from "../foundation/cloud-controller/faults.ts";

/**
 * All that may befall the Cloud Controller when it is asked for matches, by name.
 *
 * @param deadlineMs of the Worker's look-up
 */
export const matchFaults = (deadlineMs: number): [string, Fault][] => [
  ["latency", { latency_ms: 2 * deadlineMs }],
  ["429", { status: 429, headers: { "Retry-After": "60" } }],
  ["500", { status: 500 }],
  ["502 in HTML", { status: 502, body: "<h1>Bad Gateway</h1>" }],
  ["401 in HTML", { status: 401, body: "<h1>Who are you?</h1>" }],
  ["a redirect", { status: 302, headers: { Location: "/v3/elsewhere" }, body: "" }],
  ["never an answer", { hang: true }],
  ["a cut before the answer", { cut: "before" }],
  ["a cut within the answer", { cut: "during" }],
  ["half an answer", { malformed: true }],
  ["an answer of the wrong kind", { status: 201, body: { resources: { all: true } } }],
  ["a match for a resource that was not requested", { false_matches: "unrequested" }],
];
