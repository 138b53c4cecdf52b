import type { RequestBody } from "../request-body.ts";
import {
  type Configuration,
  configurationOf,
  type Env,
  parseMatchRequest,
  pushIdOf,
  type Resource,
  resolveRequest,
} from "./code-under-test.ts";
import type { Kernel } from "./kernel.ts";
import { type Invocation, Process } from "./process.ts";

/** An authenticated `POST /v3/resource_matches`. */
export interface MatchCall {
  requestId: string;
  caller: string;
  headers: Record<string, string>;
  /** The push id that the Worker must find in the headers. */
  pushId: string | undefined;
  body: RequestBody;
}

export interface MatchReply {
  status: number;
  /** The matched resources. */
  listed: Resource[];
  /** The log events until the response. */
  events: ReadonlySet<string>;
}

/** An isolate of the Worker: one configuration, which its code uses as the key of what it keeps in memory. */
export class Isolate extends Process {
  readonly configuration: Configuration;

  constructor(name: string, place: number, env: Env) {
    super(name, place);
    const configuration = configurationOf(env);
    if (!("uaa" in configuration)) throw new Error(configuration.reason);
    this.configuration = configuration;
  }

  /** Runs the endpoint, without authentication. */
  handle(
    kernel: Kernel,
    { requestId, caller, headers, body }: MatchCall,
    done: (reply: MatchReply) => void,
  ): Invocation {
    return kernel.start(this, requestId, (invocation) => {
      const { configuration } = this;
      const request = parseMatchRequest(body.bytes(), configuration.eligibility);
      if (!("candidates" in request)) throw new Error(`${requestId} can't be parsed`);
      const { waitUntil } = invocation;
      const events = new Set<string>();
      const identity = {
        id: caller,
        authorization: "bearer token",
        pushId: pushIdOf(new Headers(headers)),
      };
      const context = { configuration, requestId, traceHeaders: {}, log: logOf(events), waitUntil };
      const respond = async () => {
        const result = await resolveRequest(request, identity, context);
        const response = "toResponse" in result ? result.toResponse() : result.response;
        // The client must get the state at the time of the response, not at the time when its text is read.
        const isOpen = invocation.isOpen;
        const logged = new Set(events);
        invocation.finish();
        return { status: response.status, text: await response.text(), isOpen, logged };
      };
      respond().then(
        ({ status, text, isOpen, logged }) => {
          if (isOpen) done({ status, listed: status === 201 ? listedIn(text) : [], events: logged });
        },
        (error) => kernel.fail(error),
      );
    });
  }
}

function listedIn(text: string): Resource[] {
  return (JSON.parse(text) as { resources: Resource[] }).resources;
}

/** A log that adds `<event>` and `<event> <tier>` of each line to a set. */
export function logOf(events: Set<string>) {
  const logAt = (level: string) => (event: string, fields?: Record<string, unknown>) => {
    events.add(event);
    if (fields?.tier !== undefined) events.add(`${event} ${fields.tier}`);
    console.log(`${level} ${event} ${fields ? JSON.stringify(fields) : ""}`);
  };
  return { info: logAt("info"), warn: logAt("warn"), error: logAt("error") };
}
