import { randomBytes, randomUUID } from "node:crypto";

/** As cf CLI names itself. */
const USER_AGENT = "cf/8.18.4+2a5b5cf.2026-07-30 (go1.26.1; amd64 linux)";

/** All requests of one run of cf CLI have the same. */
export const newTraceId = () => randomUUID().replaceAll("-", "");

/** The headers by which cf CLI names itself and its run, for one request. */
export function cfHeaders(traceId = newTraceId()): Record<string, string> {
  return {
    "User-Agent": USER_AGENT,
    "X-B3-TraceId": traceId,
    "X-B3-SpanId": randomBytes(8).toString("hex"),
  };
}
