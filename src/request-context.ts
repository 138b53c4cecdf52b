import type { Configuration } from "./configuration.ts";
import type { TraceHeaders } from "./http/trace-headers.ts";
import type { Log } from "./observability/log.ts";

/** What one request is answered with. */
export interface RequestContext {
  configuration: Configuration;
  /** The value of X-Vcap-Request-Id. */
  requestId: string;
  /** For the Cloud Controller. */
  traceHeaders: TraceHeaders;
  /** Has the ids of the request and its trace in every line. */
  log: Log;
  /** Keeps work going after the answer has been sent. */
  waitUntil(promise: Promise<unknown>): void;
}
