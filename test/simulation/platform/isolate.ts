import {
  answerQuestion,
  type Configuration,
  configurationOf,
  type Env,
  readQuestion,
} from "./code-under-test.ts";
import type { Kernel } from "./kernel.ts";
import { type Invocation, Process } from "./process.ts";

export interface Answer {
  status: number;
  /** `<sha1>:<size>` of what the answer lists. */
  claimed: string[];
}

/** An isolate of the Worker: one env object, and what its code remembers by that. */
export class Isolate extends Process {
  readonly configuration: Configuration;
  readonly log = { info: line("info"), warn: line("warn"), error: line("error") };

  constructor(name: string, place: number, env: Env) {
    super(name, place);
    const configuration = configurationOf(env);
    if (Array.isArray(configuration)) throw new Error(JSON.stringify(configuration));
    this.configuration = configuration;
  }

  /**
   * A request to the endpoint, past authentication.
   *
   * @param keys `<sha1>:<size>` of each resource
   */
  ask(
    kernel: Kernel,
    requestId: string,
    keys: readonly string[],
    done: (answer: Answer) => void,
  ): Invocation {
    const resources = keys.map((key) => {
      const [value = "", size] = key.split(":");
      return { checksum: { value }, size_in_bytes: Number(size), mode: "0644" };
    });
    const body = new TextEncoder().encode(JSON.stringify({ resources }));
    return kernel.start(this, requestId, (invocation) => {
      const { configuration, log } = this;
      const question = readQuestion(body, configuration.eligibility);
      if (!("candidates" in question)) throw new Error(`not understood: ${JSON.stringify({ resources })}`);
      const { waitUntil } = invocation;
      const answer = async () => {
        const response = await answerQuestion(
          question,
          { id: "user", authorization: "bearer token" },
          {
            configuration,
            requestId,
            log,
            waitUntil,
          },
        );
        // The claim is made when the answer leaves, whenever its text is read.
        const isOpen = invocation.isOpen;
        invocation.finish();
        return { status: response.status, text: await response.text(), isOpen };
      };
      answer().then(
        ({ status, text, isOpen }) => {
          if (isOpen) done({ status, claimed: status === 201 ? claimedIn(text) : [] });
        },
        (error) => kernel.fail(error),
      );
    });
  }
}

function claimedIn(text: string): string[] {
  const { resources } = JSON.parse(text) as {
    resources: { checksum: { value: string }; size_in_bytes: number }[];
  };
  return resources.map(({ checksum, size_in_bytes }) => `${checksum.value}:${size_in_bytes}`);
}

function line(level: string) {
  return (event: string, fields?: Record<string, unknown>) =>
    console.log(`${level} ${event} ${fields ? JSON.stringify(fields) : ""}`);
}
