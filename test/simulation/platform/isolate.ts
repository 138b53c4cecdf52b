import type { RequestBody } from "../request-body.ts";
import type { Bug } from "../schedule.ts";
import { type Configuration, configurationOf, type Env, type Resource, worker } from "./code-under-test.ts";
import type { Kernel } from "./kernel.ts";
import { type Invocation, Process } from "./process.ts";

const ENDPOINT = "https://api.example.com/v3/resource_matches";

/** A `POST /v3/resource_matches`. */
export interface MatchCall {
  requestId: string;
  caller: string;
  token: string;
  headers: Record<string, string>;
  /** The push id that the Worker must find in the headers. */
  pushId: string | undefined;
  body: RequestBody;
}

export interface MatchReply {
  status: number;
  /** The matched resources. */
  listed: Resource[];
  /** Undefined if the response is cut off. */
  text: string | undefined;
  /** The log until the response. */
  lines: readonly LogLine[];
}

/** A line of the log, with those of its fields that the checker reads. */
interface LogLine {
  event: string;
  tier?: string;
  cause?: string;
}

/** An isolate of the Worker: one object with its bindings and variables, which its code uses as the key of what it keeps in memory. */
export class Isolate extends Process {
  /** Without the wrong setting of a misconfigured isolate. */
  readonly configuration: Configuration;
  readonly isMisconfigured: boolean;
  /** The code throws until a time, in ms since the epoch. */
  bug: { at: Bug; until: number } | undefined;
  readonly #env: Env;

  constructor(name: string, place: number, env: Env, isMisconfigured: boolean) {
    super(name, place);
    const configuration = configurationOf(env);
    if (!("uaa" in configuration)) throw new Error(configuration.reason);
    this.configuration = configuration;
    this.isMisconfigured = isMisconfigured;
    this.#env = isMisconfigured ? misconfigured(env) : env;
  }

  override clearFaults(): void {
    super.clearFaults();
    this.bug = undefined;
  }

  /** Handles a request. */
  fetch(kernel: Kernel, call: MatchCall, done: (reply: MatchReply) => void): Invocation {
    return kernel.start(this, call.requestId, (invocation) => {
      const respond = async () => {
        const { waitUntil } = invocation;
        const context = { waitUntil } as ExecutionContext;
        const response = await worker.fetch(requestOf(call) as never, this.#env, context);
        // The client must get the state at the time of the response, not at the time when its text is read.
        const isOpen = invocation.isOpen;
        const lines = invocation.log.map((line): LogLine => JSON.parse(line));
        invocation.finish();
        const { status } = response;
        const text = await response.text().catch(() => undefined);
        const listed = status === 201 && text !== undefined ? listedIn(text) : [];
        return { reply: { status, text, listed, lines }, isOpen };
      };
      respond().then(
        ({ reply, isOpen }) => {
          if (isOpen) done(reply);
        },
        (error) => kernel.fail(error),
      );
    });
  }

  /** Handles a batch of the queue. */
  async queue(batch: MessageBatch): Promise<void> {
    await worker.queue(batch, this.#env);
  }
}

/** Bindings and variables with one wrong value. */
export function misconfigured(env: Env): Env {
  return { ...env, MINIMUM_SIZE: "64 KiB" };
}

function requestOf({ token, headers, body }: MatchCall): Request {
  const bytes = body.bytes();
  return new Request(ENDPOINT, {
    method: "POST",
    headers: {
      ...headers,
      Authorization: `bearer ${token}`,
      "Content-Type": "application/json",
      "Content-Length": String(bytes.length),
    },
    body: bytes,
  });
}

function listedIn(text: string): Resource[] {
  return (JSON.parse(text) as { resources: Resource[] }).resources;
}
