import type { Configuration } from "./configuration.ts";
import type { TraceHeaders } from "./http/trace-headers.ts";
import type { Log } from "./observability/log.ts";

export interface RequestContext {
  configuration: Configuration;
  /** The value of X-Vcap-Request-Id. */
  requestId: string;
  /** For requests to the Cloud Controller. */
  traceHeaders: TraceHeaders;
  /** Every line has the ids of the request and of its trace. */
  log: Log;
  /** Keeps work running after the response. */
  waitUntil(promise: Promise<unknown>): void;
}
