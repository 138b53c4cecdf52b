import type { Configuration } from "./configuration.ts";
import type { Log } from "./log.ts";

/** What one request is answered with. */
export interface RequestContext {
  configuration: Configuration;
  /** The value of X-Vcap-Request-Id. */
  requestId: string;
  /** Names the request's id in every line. */
  log: Log;
  /** Keeps work going after the answer has been sent. */
  waitUntil(promise: Promise<unknown>): void;
}
