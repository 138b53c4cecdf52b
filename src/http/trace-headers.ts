/**
 * B3 trace headers: https://github.com/openzipkin/b3-propagation. The Cloud Controller echoes and logs them if a request has
 * both (`middleware/zipkin.rb`).
 */
const NAMES = ["X-B3-TraceId", "X-B3-SpanId"] as const;
const LOGGABLE = /^[\w-]{1,64}$/;

export type TraceHeaders = Partial<Record<(typeof NAMES)[number], string>>;

/** Both headers unchanged, or neither if one is missing. */
export function traceHeadersOf(headers: Headers): TraceHeaders {
  const found = NAMES.map((name) => [name, headers.get(name)] as const);
  return found.every(([, value]) => value) ? Object.fromEntries(found) : {};
}

/** The trace id for the log; undefined if there is none, or if it is not safe to log. */
export function traceIdOf(headers: Headers): string | undefined {
  const traceId = headers.get("X-B3-TraceId") ?? "";
  return LOGGABLE.test(traceId) ? traceId : undefined;
}
