import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { parseObservations, type ReportedObservations } from "../../src/operator-api/observations.ts";
import type { ObservationsResult } from "../../src/operator-api/responses.ts";
import { serve } from "./endpoint.ts";

export const TOKEN = "a.b-c.d_e";

/** By which this clock is wrong against the machine's: who told the time by the machine's would be found out. */
const CLOCK_IS_BEHIND_MS = 3 * 3600 * 1000;

/** Observations that have come in. */
export interface Told extends ReportedObservations {
  /** When, in milliseconds since some moment. */
  at: number;
}

const CACHE = "/v3/resource_matches/cache";

/** Does something else than taking observations; returns false to have them taken all the same. */
type Fault = (response: ServerResponse, request: IncomingMessage) => unknown;

/** A Worker's operator API on loopback that reads observations as the real one does, with the test's hands on it. */
export async function fakeCache() {
  const present = new Set<string>();
  const told: Told[] = [];
  /** When its status was asked for, by its own clock. */
  const askedAt: number[] = [];
  /** For the next observations, one each. */
  const faults: Fault[] = [];
  /** ms since the epoch, by its own clock. */
  const now = () => Date.now() - CLOCK_IS_BEHIND_MS;

  const url = await serve(async (request, response) => {
    if (request.headers.authorization !== `bearer ${TOKEN}`)
      return refuse(response, 401, "Invalid Auth Token");
    const { method, url } = request;
    if (method === "GET" && url === CACHE) {
      askedAt.push(now());
      return answer(response, 200, {
        time: new Date(now()).toISOString(),
        entries: present.size,
        configuration: {},
      });
    }
    if (method === "GET" && url === `${CACHE}/resources`) {
      return answer(response, 200, { resources: [...present].map(toResource) });
    }
    if (method !== "POST" || url !== `${CACHE}/observations`) return refuse(response, 404, "Unknown request");
    const fault = faults.shift();
    if (fault && (await fault(response, request)) !== false) return;
    const observations = parseObservations(await text(request), now());
    if (!("present" in observations)) return refuse(response, observations.status, observations.reason);

    told.push({ ...observations, at: performance.now() });
    const before = present.size;
    for (const key of observations.present) present.add(key);
    const changed = present.size - before;
    const removed = [...present].filter((key) => observations.removed.includes(key.slice(0, 40)));
    for (const key of removed) present.delete(key);
    const all = observations.present.length + observations.removed.length;
    answer(response, 200, {
      changed: changed + removed.length,
      unchanged: all - changed - removed.length,
      refused: { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 },
    } satisfies ObservationsResult);
  });
  /** What names it and its token to the command. */
  const env = { CF_TOKEN: TOKEN };
  return { url, env, to: ["--url", url], present, told, askedAt, faults, now };
}

function toResource(key: string): object {
  const [value, size] = key.split(":");
  return { checksum: { value }, size_in_bytes: Number(size) };
}

export function refuse(response: ServerResponse, status: number, detail: string, headers = {}): void {
  answer(response, status, { errors: [{ detail, title: "CF-Test", code: 1 }] }, headers);
}

export function answer(response: ServerResponse, status: number, body: object, headers = {}): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}
