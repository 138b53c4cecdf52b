import {
  answerQuestion,
  type Configuration,
  configurationOf,
  type Env,
  type Resource,
  readQuestion,
} from "./code-under-test.ts";
import type { Kernel } from "./kernel.ts";
import { type Invocation, Process } from "./process.ts";

export interface Question {
  requestId: string;
  caller: string;
  resources: readonly Resource[];
}

export interface Answer {
  status: number;
  /** What the answer lists. */
  listed: Resource[];
}

/** An isolate of the Worker: one env object, and what its code remembers by that. */
export class Isolate extends Process {
  readonly configuration: Configuration;
  readonly log = { info: line("info"), warn: line("warn"), error: line("error") };

  constructor(name: string, place: number, env: Env) {
    super(name, place);
    const configuration = configurationOf(env);
    if (!("uaa" in configuration)) throw new Error(configuration.reason);
    this.configuration = configuration;
  }

  /** A request to the endpoint, past authentication. */
  ask(
    kernel: Kernel,
    { requestId, caller, resources }: Question,
    done: (answer: Answer) => void,
  ): Invocation {
    const body = new TextEncoder().encode(JSON.stringify({ resources }));
    return kernel.start(this, requestId, (invocation) => {
      const { configuration, log } = this;
      const question = readQuestion(body, configuration.eligibility);
      if (!("candidates" in question)) throw new Error(`not understood: ${requestId}`);
      const { waitUntil } = invocation;
      const answer = async () => {
        const answered = await answerQuestion(
          question,
          { id: caller, pushId: requestId.split(",")[0], authorization: "bearer token" },
          {
            configuration,
            requestId,
            traceHeaders: {},
            log,
            waitUntil,
          },
        );
        const response = answered instanceof Response ? answered : answered.response;
        // The claim is made when the answer leaves, whenever its text is read.
        const isOpen = invocation.isOpen;
        invocation.finish();
        return { status: response.status, text: await response.text(), isOpen };
      };
      answer().then(
        ({ status, text, isOpen }) => {
          if (isOpen) done({ status, listed: status === 201 ? listedIn(text) : [] });
        },
        (error) => kernel.fail(error),
      );
    });
  }
}

function listedIn(text: string): Resource[] {
  return (JSON.parse(text) as { resources: Resource[] }).resources;
}

function line(level: string) {
  return (event: string, fields?: Record<string, unknown>) =>
    console.log(`${level} ${event} ${fields ? JSON.stringify(fields) : ""}`);
}
