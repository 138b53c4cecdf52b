import type { TruePool } from "../pool.ts";
import type { Random } from "../random.ts";
import { currentInvocation, type Kernel } from "./kernel.ts";
import { callRemote } from "./remote.ts";

export type CloudControllerFaultKind = "error" | "hang" | "cut" | "slow" | "refuse";

export interface CloudControllerFault {
  from: number;
  until: number;
  how: CloudControllerFaultKind;
}

interface Resource {
  checksum: { value: string };
  size_in_bytes: number;
  mode?: string;
}

interface Reply {
  status: number;
  text: string;
  isCut: boolean;
}

/** The earliest time at which a call arrives. */
const ARRIVAL_MS = 1;
const SLOW_FACTOR = 20;
const FORBIDDEN = JSON.stringify({
  errors: [{ detail: "You are not authorized", title: "CF-NotAuthorized", code: 10003 }],
});

/** The Cloud Controller's `POST /v3/resource_matches`. It reads the pool at one moment. */
export class CloudController {
  readonly #kernel: Kernel;
  readonly #pool: TruePool;
  readonly #random: Random;
  readonly faults: CloudControllerFault[] = [];
  /** Faults of all calls for one request, by the request's id. */
  readonly faultsByRequest = new Map<string, CloudControllerFaultKind>();
  /** The SHA-1s that it has matched for each request, by the request's id. */
  readonly matched = new Map<string, Set<string>>();
  /** The SHA-1s that it was called about for each request, by the request's id. */
  readonly requested = new Map<string, Set<string>>();
  /** The requests to which it responds in place of the Worker, by the request's id, and its responses. */
  readonly passedThrough = new Map<string, { at: number; request: string; response?: string }>();

  constructor(kernel: Kernel, pool: TruePool) {
    this.#kernel = kernel;
    this.#pool = pool;
    this.#random = kernel.random.fork("cloud controller");
  }

  /** Whether it has no fault in a time. */
  isHealthy(since: number, until: number): boolean {
    return !this.faults.some((fault) => fault.from <= until && fault.until >= since);
  }

  /** Whether it had a fault during a request. */
  hadFault({ requestId, startedAt }: { requestId: string; startedAt: number }): boolean {
    return this.faultsByRequest.has(requestId) || !this.isHealthy(startedAt, this.#kernel.now);
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    const requestId = currentInvocation()?.name ?? "";
    const body = await request.text();
    // The Worker's own requests have no such header.
    const isPassedThrough = request.headers.has("X-Forwarded-Host");
    if (isPassedThrough) this.passedThrough.set(requestId, { at: this.#kernel.now, request: body });
    const { status, text, isCut } = await callRemote<Reply>(this.#kernel, (reply) => {
      const { now } = this.#kernel;
      if (!isPassedThrough) this.#kernel.after(ARRIVAL_MS, () => this.#noteRequested(requestId, body));
      const how =
        this.faultsByRequest.get(requestId) ??
        this.faults.find(({ from, until }) => from <= now && now < until)?.how;
      if (how === "hang") return;
      const factor = how === "slow" ? SLOW_FACTOR : 1;
      this.#kernel.after(factor * this.#random.integer(5, 500), () => {
        const value = this.#respond(requestId, body, how);
        this.#kernel.after(factor * this.#random.integer(5, 500), () => reply({ value }));
      });
    });
    const passedThrough = this.passedThrough.get(requestId);
    if (isPassedThrough && passedThrough) passedThrough.response = text;
    return new Response(isCut ? cutStream(text) : text, {
      status,
      headers: { "Content-Type": "application/json" },
    });
  };

  #respond(requestId: string, body: string, how: CloudControllerFaultKind | undefined): Reply {
    if (how === "error") return { status: 500, text: "<html>", isCut: false };
    if (how === "refuse") return { status: 403, text: FORBIDDEN, isCut: false };
    return { status: 201, text: this.#match(requestId, body), isCut: how === "cut" };
  }

  #noteRequested(requestId: string, body: string): void {
    const { resources } = JSON.parse(body) as { resources: Resource[] };
    const requested = this.requested.get(requestId) ?? new Set();
    this.requested.set(requestId, requested);
    for (const { checksum } of resources) requested.add(checksum.value);
  }

  /** It looks up the checksum alone, and returns the size of the request. It compares modes as numbers. */
  #match(requestId: string, body: string): string {
    const { resources } = JSON.parse(body) as { resources: Resource[] };
    const present = resources.filter(
      ({ checksum, mode }) => isMatchedMode(mode) && this.#pool.has(checksum.value),
    );
    const matched = this.matched.get(requestId) ?? new Set();
    this.matched.set(requestId, matched);
    for (const { checksum } of present) matched.add(checksum.value);
    this.#kernel.note(
      `cloud controller: matches ${present.length} of ${resources.length} resources for ${requestId}`,
    );
    return JSON.stringify({ resources: present });
  }
}

/** Whether the Cloud Controller matches a file with a mode. It fails packages with some of these. */
export function isMatchedMode(mode: string | null | undefined): boolean {
  return Number.parseInt(mode ?? "0", 8) >= 0o600;
}

function cutStream(text: string): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text.slice(0, text.length / 2)));
      controller.error(new TypeError("terminated"));
    },
  });
}
