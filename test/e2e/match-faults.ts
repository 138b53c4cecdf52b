import type { Fault } from "../foundation/cloud-controller/faults.ts";

/** The faults of the Cloud Controller's response to a request for matches, by name. @param deadlineMs of the look-up */
export const matchFaults = (deadlineMs: number): [string, Fault][] => [
  ["latency beyond the deadline", { latency_ms: 2 * deadlineMs }],
  ["429", { status: 429, headers: { "Retry-After": "60" } }],
  ["500", { status: 500 }],
  ["502 in HTML", { status: 502, body: "<h1>Bad Gateway</h1>" }],
  ["401 in HTML", { status: 401, body: "<h1>Who are you?</h1>" }],
  ["a redirect", { status: 302, headers: { Location: "/v3/elsewhere" }, body: "" }],
  ["no response", { hang: true }],
  ["a connection closed before the response", { cut: "before" }],
  ["a connection closed during the response", { cut: "during" }],
  ["half of a JSON body", { malformed: true }],
  ["JSON of another shape", { status: 201, body: { resources: { all: true } } }],
  ["a match for a resource that was not requested", { false_matches: "unrequested" }],
];
