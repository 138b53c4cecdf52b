import { randomBytes, randomUUID } from "node:crypto";

const USER_AGENT = "cf/8.18.4+2a5b5cf.2026-07-30 (go1.26.1; amd64 linux)";

/** Creates a trace id. All requests of one run of cf CLI have the same. */
export const newTraceId = () => randomUUID().replaceAll("-", "");

/** Returns the headers by which cf CLI identifies itself and its run. */
export function cfHeaders(traceId = newTraceId()): Record<string, string> {
  return {
    "User-Agent": USER_AGENT,
    "X-B3-TraceId": traceId,
    "X-B3-SpanId": randomBytes(8).toString("hex"),
  };
}
