import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { MatchedResource } from "./resource-matching.ts";

/** A fault of a path. If several replace the response, the first one of this list applies. */
export interface Fault {
  /** Delays the request, in milliseconds. */
  latency_ms?: number;
  /** Delays a request for matches, in milliseconds for each resource. */
  resource_ms?: number;
  /** Added to the response. */
  headers?: Record<string, string>;
  /** Never sends a response. */
  hang?: boolean;
  /** Closes the connection before the response, or after half of it. */
  cut?: "before" | "during";
  /** Responds with 201 and truncated JSON. */
  malformed?: boolean;
  /** Responds with this status and `body`: a string as HTML, anything else as JSON. */
  status?: number;
  body?: unknown;
  /** Adds a match for a resource that was not requested, or matches all requested resources. */
  false_matches?: "unrequested" | "all";
  /** How many requests have the fault. Default: all. */
  times?: number;
}

const TRUNCATED_BODY = '{"resources":[{"checksum":{"val';
const SERVER_ERROR = {
  errors: [{ detail: "An unknown error occurred.", title: "UnknownError", code: 10001 }],
};

/** The active faults by path: `/v3/resource_matches`, `POST /v3/packages`, `/v3/packages/*`. */
export class Faults {
  #faults = new Map<string, Fault>();

  /** Replaces all faults. */
  set(faults: Record<string, Fault>): void {
    this.#faults = new Map(Object.entries(faults).map(([path, fault]) => [path, { ...fault }]));
  }

  /** Returns the fault of a request, and decrements its `times`. */
  take(method: string, path: string): Fault | undefined {
    for (const [key, fault] of this.#faults) {
      const [, faultMethod = method, pattern = ""] = /^(?:([A-Z]+) )?(.*)$/.exec(key) ?? [];
      const isMatch = pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : path === pattern;
      if (faultMethod !== method || !isMatch || fault.times === 0) continue;
      if (fault.times !== undefined) fault.times -= 1;
      return fault;
    }
    return undefined;
  }
}

/** @returns whether the fault replaces the response of the handler */
export async function applyFault(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  if (fault.latency_ms !== undefined) await pause(fault.latency_ms);
  for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value);
  const isReplaced = fault.hang || fault.cut || fault.malformed || fault.status !== undefined;
  if (!isReplaced) return false;
  // A client may read the response only after it has sent its whole body.
  request.resume();
  if (fault.hang) return true;
  if (fault.cut === "before") request.socket.destroy();
  else if (fault.cut === "during") {
    response.writeHead(201, {
      "Content-Type": "application/json",
      "Content-Length": 2 * TRUNCATED_BODY.length,
    });
    response.write(TRUNCATED_BODY, () => setImmediate(() => request.socket.destroy()));
  } else if (fault.malformed) {
    response.writeHead(201, { "Content-Type": "application/json; charset=utf-8" }).end(TRUNCATED_BODY);
  } else {
    const body = fault.body ?? SERVER_ERROR;
    const isHtml = typeof body === "string";
    response.writeHead(fault.status ?? 500, { "Content-Type": isHtml ? "text/html" : "application/json" });
    response.end(isHtml ? body : JSON.stringify(body));
  }
  return true;
}

/** Returns the matches of a response, and false ones. */
export function addFalseMatches(
  kind: NonNullable<Fault["false_matches"]>,
  requested: readonly MatchedResource[],
  matched: readonly MatchedResource[],
): MatchedResource[] {
  if (kind === "all") return [...requested];
  const unrequested = {
    checksum: { value: randomBytes(20).toString("hex") },
    size_in_bytes: 1,
    path: "unrequested",
    mode: "644",
  };
  return [...matched, unrequested];
}
