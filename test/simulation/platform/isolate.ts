import type { RequestBody } from "../request-body.ts";
import {
  answerQuestion,
  type Configuration,
  configurationOf,
  type Env,
  pushIdOf,
  type Resource,
  readQuestion,
} from "./code-under-test.ts";
import type { Kernel } from "./kernel.ts";
import { type Invocation, Process } from "./process.ts";

export interface Question {
  requestId: string;
  caller: string;
  headers: Record<string, string>;
  /** Of the run of cf, if the client sends one that can be trusted. */
  pushId: string | undefined;
  body: RequestBody;
}

export interface Answer {
  status: number;
  /** What the answer lists. */
  listed: Resource[];
  /** What was logged until then. */
  events: ReadonlySet<string>;
}

/** An isolate of the Worker: one env object, and what its code remembers by that. */
export class Isolate extends Process {
  readonly configuration: Configuration;

  constructor(name: string, place: number, env: Env) {
    super(name, place);
    const configuration = configurationOf(env);
    if (!("uaa" in configuration)) throw new Error(configuration.reason);
    this.configuration = configuration;
  }

  /** A request to the endpoint, past authentication. */
  ask(
    kernel: Kernel,
    { requestId, caller, headers, body }: Question,
    done: (answer: Answer) => void,
  ): Invocation {
    return kernel.start(this, requestId, (invocation) => {
      const { configuration } = this;
      const question = readQuestion(body.bytes(), configuration.eligibility);
      if (!("candidates" in question)) throw new Error(`not understood: ${requestId}`);
      const { waitUntil } = invocation;
      const events = new Set<string>();
      const asker = {
        id: caller,
        authorization: "bearer token",
        pushId: pushIdOf(new Headers(headers)),
      };
      const context = { configuration, requestId, traceHeaders: {}, log: logOf(events), waitUntil };
      const answer = async () => {
        const answered = await answerQuestion(question, asker, context);
        const response = "toResponse" in answered ? answered.toResponse() : answered.response;
        // A match is made when the answer leaves, whenever its text is read.
        const isOpen = invocation.isOpen;
        const logged = new Set(events);
        invocation.finish();
        return { status: response.status, text: await response.text(), isOpen, logged };
      };
      answer().then(
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

/** A log that keeps the names of its events, and which tier they are about. */
export function logOf(events: Set<string>) {
  const line = (level: string) => (event: string, fields?: Record<string, unknown>) => {
    events.add(event);
    if (fields?.tier !== undefined) events.add(`${event} ${fields.tier}`);
    console.log(`${level} ${event} ${fields ? JSON.stringify(fields) : ""}`);
  };
  return { info: line("info"), warn: line("warn"), error: line("error") };
}
