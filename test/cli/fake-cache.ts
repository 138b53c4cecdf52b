import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { Observations } from "../../src/catalog/observations.ts";
import { parseObservations } from "../../src/operator-api/observations.ts";
import type { ObservationsResult } from "../../src/operator-api/responses.ts";
import { startServer } from "./endpoint.ts";

export const TOKEN = "a.b-c.d_e";

/** The fake Worker's clock is late, so that a time by this machine's clock would be noticed. */
const CLOCK_IS_BEHIND_MS = 3 * 3600 * 1000;

const SIZE_LIMITS = { MINIMUM_SIZE: 0, MAXIMUM_SIZE: 1_000_000 };

/** Observations in the order in which they arrived. */
export interface ReceivedObservations extends Required<Observations> {
  /** By `performance.now()`. */
  receivedAt: number;
}

const CACHE_PATH = "/v3/resource_matches/cache";

/** Handles a request of observations itself; if it returns false, the fake cache handles it too. */
type Fault = (response: ServerResponse, request: IncomingMessage) => unknown;

/** A server with the operator API of a Worker. It parses observations as the Worker does. */
export async function startFakeCache() {
  const present = new Set<string>();
  const received: ReceivedObservations[] = [];
  /** When its status was requested, by its own clock. */
  const statusRequestedAt: number[] = [];
  /** One for each of the next requests of observations. */
  const faults: Fault[] = [];
  /** Its own clock; ms since the epoch. */
  const now = () => Date.now() - CLOCK_IS_BEHIND_MS;

  const url = await startServer(async (request, response) => {
    if (request.headers.authorization !== `bearer ${TOKEN}`) {
      return respondWithError(response, 401, "Invalid Auth Token");
    }
    const { method, url } = request;
    if (method === "GET" && url === CACHE_PATH) {
      statusRequestedAt.push(now());
      const time = new Date(now()).toISOString();
      return respond(response, 200, { time, entries: present.size, configuration: SIZE_LIMITS });
    }
    if (method === "GET" && url === `${CACHE_PATH}/resources`) {
      return respond(response, 200, { resources: [...present].map(toResource) });
    }
    if (method !== "POST" || url !== `${CACHE_PATH}/observations`) {
      return respondWithError(response, 404, "Unknown request");
    }
    const fault = faults.shift();
    if (fault && (await fault(response, request)) !== false) return;
    const observations = parseObservations(await text(request), now());
    if (!("present" in observations)) {
      return respondWithError(response, observations.status, observations.reason);
    }

    received.push({ ...observations, receivedAt: performance.now() });
    const before = present.size;
    for (const key of observations.present) present.add(key);
    const changed = present.size - before;
    const removed = [...present].filter((key) => observations.removed.includes(key.slice(0, 40)));
    for (const key of removed) present.delete(key);
    const count = observations.present.length + observations.removed.length;
    respond(response, 200, {
      changed: changed + removed.length,
      unchanged: count - changed - removed.length,
      refused: { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 },
    } satisfies ObservationsResult);
  });
  /** Options and environment that lead the command to it. */
  const urlOption = ["--url", url];
  const env = { CF_TOKEN: TOKEN };
  return { url, urlOption, env, present, received, statusRequestedAt, faults, now };
}

function toResource(key: string): object {
  const [value, size] = key.split(":");
  return { checksum: { value }, size_in_bytes: Number(size) };
}

export function respondWithError(
  response: ServerResponse,
  status: number,
  detail: string,
  headers = {},
): void {
  respond(response, status, { errors: [{ detail, title: "CF-Test", code: 1 }] }, headers);
}

export function respond(response: ServerResponse, status: number, body: object, headers = {}): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}
