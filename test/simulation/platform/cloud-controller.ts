import type { TruePool } from "../pool.ts";
import type { Random } from "../random.ts";
import type { Kernel } from "./kernel.ts";
import { askRemotely } from "./remote.ts";

export type Failing = "error" | "hang" | "cut" | "slow" | "refuse";

export interface CloudControllerTrouble {
  from: number;
  until: number;
  how: Failing;
}

interface Asked {
  checksum: { value: string };
  size_in_bytes: number;
  mode?: string;
}

/** The soonest that a question arrives. */
const ARRIVES_MS = 1;

/** The Cloud Controller, as far as the Worker asks it: which of some files the pool holds, at one moment. */
export class CloudController {
  readonly #kernel: Kernel;
  readonly #pool: TruePool;
  readonly #random: Random;
  readonly troubles: CloudControllerTrouble[] = [];
  /** What befalls its answers to one request alone, by the request's id. */
  readonly befallen = new Map<string, Failing>();
  /** What it has matched in each request, by the request's id. */
  readonly matched = new Map<string, Set<string>>();
  /** What it was asked for each request, by the request's id. */
  readonly questions = new Map<string, Set<string>>();

  constructor(kernel: Kernel, pool: TruePool) {
    this.#kernel = kernel;
    this.#pool = pool;
    this.#random = kernel.random.fork("cloud controller");
  }

  /** Whether nothing is wrong with it in a time. */
  isWell(since: number, until: number): boolean {
    return !this.troubles.some((trouble) => trouble.from <= until && trouble.until >= since);
  }

  readonly reach = async (request: Request): Promise<Response> => {
    const body = await request.text();
    const requestId = request.headers.get("X-Vcap-Request-Id") ?? "";
    const { status, text, isCut } = await askRemotely<{ status: number; text: string; isCut: boolean }>(
      this.#kernel,
      (answer) => {
        const { now } = this.#kernel;
        this.#kernel.after(ARRIVES_MS, () => this.#noteQuestion(requestId, body));
        const how =
          this.befallen.get(requestId) ??
          this.troubles.find(({ from, until }) => from <= now && now < until)?.how;
        if (how === "hang") return;
        const slowness = how === "slow" ? 20 : 1;
        this.#kernel.after(slowness * this.#random.integer(5, 500), () => {
          const response =
            how === "error" || how === "refuse"
              ? {
                  status: how === "error" ? 500 : 403,
                  text: how === "error" ? "<html>" : FORBIDDEN,
                  isCut: false,
                }
              : { status: 201, text: this.#match(requestId, body), isCut: how === "cut" };
          this.#kernel.after(slowness * this.#random.integer(5, 500), () => answer({ value: response }));
        });
      },
    );
    return new Response(isCut ? cut(text) : text, {
      status,
      headers: { "Content-Type": "application/json" },
    });
  };

  #noteQuestion(requestId: string, body: string): void {
    const { resources } = JSON.parse(body) as { resources: Asked[] };
    const asked = this.questions.get(requestId) ?? new Set();
    this.questions.set(requestId, asked);
    for (const { checksum } of resources) asked.add(checksum.value);
  }

  /** It looks for the checksum alone: whatever size was said, it is echoed. */
  #match(requestId: string, body: string): string {
    const { resources } = JSON.parse(body) as { resources: Asked[] };
    const present = resources.filter(({ checksum }) => this.#pool.has(checksum.value));
    const matched = this.matched.get(requestId) ?? new Set();
    this.matched.set(requestId, matched);
    for (const { checksum } of present) matched.add(checksum.value);
    this.#kernel.note(
      `cloud controller: ${requestId} asks for ${resources.length}, of which ${present.length} are present`,
    );
    return JSON.stringify({ resources: present });
  }
}

const FORBIDDEN = JSON.stringify({
  errors: [{ detail: "You are not authorized", title: "CF-NotAuthorized", code: 10003 }],
});

function cut(text: string): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text.slice(0, text.length / 2)));
      controller.error(new TypeError("terminated"));
    },
  });
}
