/**
 * The headers by which a client's requests are found in the logs of all systems. The Cloud Controller echoes and logs them if it gets
 * both: https://github.com/openzipkin/b3-propagation, `middleware/zipkin.rb`.
 */
const NAMES = ["X-B3-TraceId", "X-B3-SpanId"] as const;
const LOGGABLE = /^[\w-]{1,64}$/;

export type TraceHeaders = Partial<Record<(typeof NAMES)[number], string>>;

/** Both headers as they came; nothing if one is missing. */
export function traceHeadersOf(headers: Headers): TraceHeaders {
  const found = NAMES.map((name) => [name, headers.get(name)] as const);
  return found.every(([, value]) => value) ? Object.fromEntries(found) : {};
}

/** The trace id, for the log; undefined if there is none, or one that no log should have. */
export function traceIdOf(headers: Headers): string | undefined {
  const traceId = headers.get("X-B3-TraceId") ?? "";
  return LOGGABLE.test(traceId) ? traceId : undefined;
}
