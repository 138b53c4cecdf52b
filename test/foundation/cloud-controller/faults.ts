import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { MatchedResource } from "./resource-matching.ts";

/** What goes wrong on a path. Of the ways to answer, the first that is set is taken. */
export interface Fault {
  /** Milliseconds before anything else happens. */
  latency_ms?: number;
  /** Resource matches only: milliseconds that each resource takes. */
  resource_ms?: number;
  /** Laid over the answer's own. */
  headers?: Record<string, string>;
  /** Never answers. */
  hang?: boolean;
  /** Closes the connection, `before` the answer or after half of one. */
  cut?: "before" | "during";
  /** Answers 201 with JSON that ends in the middle. */
  malformed?: boolean;
  /** Answers this instead, with `body`: text as HTML, anything else as JSON. */
  status?: number;
  body?: unknown;
  /** Resource matches only: claims what nobody asked for, or everything that was asked for. */
  false_matches?: "unrequested" | "all";
  /** How many requests it is good for; default: all. */
  times?: number;
}

const HALF_AN_ANSWER = '{"resources":[{"checksum":{"val';
const SERVER_ERROR = {
  errors: [{ detail: "An unknown error occurred.", title: "UnknownError", code: 10001 }],
};

/** The faults that are switched on, by path: `/v3/resource_matches`, `POST /v3/packages`, `/v3/packages/*`. */
export class Faults {
  #faults = new Map<string, Fault>();

  /** Replaces all that were there. */
  set(faults: Record<string, Fault>): void {
    this.#faults = new Map(Object.entries(faults).map(([path, fault]) => [path, { ...fault }]));
  }

  /** The fault for a request, if there is one; uses up one of its times. */
  take(method: string, path: string): Fault | undefined {
    for (const [key, fault] of this.#faults) {
      const [, faultMethod = method, pattern = ""] = /^(?:([A-Z]+) )?(.*)$/.exec(key) ?? [];
      const isMeant = pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : path === pattern;
      if (faultMethod !== method || !isMeant || fault.times === 0) continue;
      if (fault.times !== undefined) fault.times -= 1;
      return fault;
    }
    return undefined;
  }
}

/** @returns whether the fault has answered in the handler's place */
export async function applyFault(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  if (fault.latency_ms !== undefined) await pause(fault.latency_ms);
  for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value);
  const isTaken = fault.hang || fault.cut || fault.malformed || fault.status !== undefined;
  if (!isTaken) return false;
  // The client must get rid of its body, or it never looks at the answer.
  request.resume();
  if (fault.hang) return true;
  if (fault.cut === "before") request.socket.destroy();
  else if (fault.cut === "during") {
    response.writeHead(201, {
      "Content-Type": "application/json",
      "Content-Length": 2 * HALF_AN_ANSWER.length,
    });
    response.write(HALF_AN_ANSWER, () => setImmediate(() => request.socket.destroy()));
  } else if (fault.malformed) {
    response.writeHead(201, { "Content-Type": "application/json; charset=utf-8" }).end(HALF_AN_ANSWER);
  } else {
    const body = fault.body ?? SERVER_ERROR;
    const isHtml = typeof body === "string";
    response.writeHead(fault.status ?? 500, { "Content-Type": isHtml ? "text/html" : "application/json" });
    response.end(isHtml ? body : JSON.stringify(body));
  }
  return true;
}

/** What a lying Cloud Controller makes of its answer. */
export function addFalseMatches(
  kind: NonNullable<Fault["false_matches"]>,
  asked: readonly MatchedResource[],
  matched: readonly MatchedResource[],
): MatchedResource[] {
  if (kind === "all") return [...asked];
  const stranger = {
    checksum: { value: randomBytes(20).toString("hex") },
    size_in_bytes: 1,
    path: "stranger",
    mode: "644",
  };
  return [...matched, stranger];
}
