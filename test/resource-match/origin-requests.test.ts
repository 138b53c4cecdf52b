import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { cacheWithoutKeys } from "../support/cache.ts";
import { report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { signToken } from "../support/tokens.ts";
import {
  ENDPOINT,
  keyOf,
  matchedPaths,
  resource,
  type SentResource,
  sendWithEnv,
} from "../support/worker.ts";

const FILES = 5_000;
const resources = Array.from({ length: FILES }, (_, index) => resource(index));
const matchesAll = respondWithMatches(() => true);
const sizesOf = (requests: Request[]) =>
  Promise.all(
    requests.map(
      async (request) => (await request.clone().json<{ resources: SentResource[] }>()).resources.length,
    ),
  );

/** One object is one isolate. */
let isolate: Record<string, unknown>;
let logs: Record<string, unknown>[];

beforeEach(() => {
  isolate = { ...env, CLOUD_CONTROLLER_URL, RESOURCE_CACHE: cacheWithoutKeys };
  logs = collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

async function publish(count: number): Promise<void> {
  const present = Array.from({ length: count }, (_, index) => keyOf(index));
  await report({ present, asOf: Date.now() - 1_000 });
  advanceClock(20_000);
  await runAlarm();
}

describe("the number of requests to the Cloud Controller", () => {
  it("is at most 20 before the response to a suspected retry of 5,000 matches, and 20 after it (R1.7)", async () => {
    await publish(FILES);
    let onResponse = () => {};
    let responded = Promise.resolve();
    // The response must not wait for requests of more than 40 resources.
    const requests = fakeCloudController(async (request) => {
      const [size = 0] = await sizesOf([request]);
      if (size > 40) await responded;
      return matchesAll(request);
    });
    const token = await signToken();
    await sendWithEnv(isolate, { resources }, { token });
    expect(await sizesOf(requests)).toEqual([5]);

    requests.length = 0;
    responded = new Promise((resolve) => {
      onResponse = resolve;
    });
    const response = await sendWithEnv(isolate, { resources }, { token, onResponse });
    expect(await matchedPaths(response)).toHaveLength(FILES);
    const sizes = await sizesOf(requests);
    expect(sizes).toEqual([...Array(20).fill(40), ...Array(16).fill(250), 200]);
  });

  it("is at most 40 for a suspected retry if the Cloud Controller verifies nothing before the response (R1.7)", async () => {
    await publish(FILES);
    isolate.LOOKUP_DEADLINE_MS = "1200";
    const requests = fakeCloudController(matchesAll);
    const token = await signToken();
    await sendWithEnv(isolate, { resources }, { token });
    const retried = fakeCloudController(async (request) => {
      const [size = 0] = await sizesOf([request]);
      return size > 40 ? matchesAll(request) : new Promise(() => {});
    });
    requests.length = 0;
    await sendWithEnv(isolate, { resources }, { token });
    const sizes = await sizesOf(retried);
    expect(sizes.filter((size) => size === 40).length).toBeLessThanOrEqual(20);
    expect(sizes.filter((size) => size !== 40)).toEqual(Array(20).fill(250));
  });

  it("is 20 before the response for 5,000 files that the cache lacks (R2.2)", async () => {
    const requests = fakeCloudController(matchesAll);
    const lacking = resources.map((_, index) => resource(FILES + index));
    expect(await matchedPaths(await sendWithEnv(isolate, { resources: lacking }))).toHaveLength(FILES);
    expect(await sizesOf(requests)).toEqual(Array(20).fill(250));
  });

  it("is 21 after the response if the Cloud Controller rejects a match of the sample (R1.6)", async () => {
    await publish(FILES);
    let onResponse = () => {};
    const responded = new Promise<void>((resolve) => {
      onResponse = resolve;
    });
    const matchesNone = respondWithMatches(() => false);
    const requests = fakeCloudController(async (request) => {
      await responded;
      return matchesNone(request);
    });
    await sendWithEnv(isolate, { resources }, { onResponse });
    expect(await sizesOf(requests)).toEqual([5, ...Array(19).fill(250), 245]);
  });
});

describe("a pause that the Cloud Controller requires", () => {
  const limited = (retryAfter: string | undefined, status = 429) =>
    Response.json(
      { errors: [{ code: 10013 }] },
      { status, headers: retryAfter === undefined ? {} : { "Retry-After": retryAfter } },
    );
  /** Sends a request for files that the cache lacks. Returns the number of requests that this causes. */
  async function lookUp(requests: Request[], token: string, count = 3): Promise<number> {
    requests.length = 0;
    const response = await sendWithEnv(isolate, { resources: resources.slice(0, count) }, { token });
    expect(response.status).toBe(201);
    return requests.length;
  }

  it("sends no more requests for a user after a 429 until Retry-After, and still returns 201 with a warning (R2.1)", async () => {
    let isLimited = true;
    const requests = fakeCloudController((request) => (isLimited ? limited("60") : matchesAll(request)));
    const [token, other] = [await signToken(), await signToken()];
    expect(await lookUp(requests, token, FILES)).toBeLessThanOrEqual(4);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "cloud-controller-paused", status: 429, callers: "one" }),
    );
    expect(logs.filter(({ event }) => event === "cloud-controller-paused")).toHaveLength(1);

    isLimited = false;
    requests.length = 0;
    const response = await sendWithEnv(isolate, { resources: resources.slice(0, 3) }, { token });
    expect(await matchedPaths(response)).toEqual([]);
    expect(decodeURIComponent(response.headers.get("X-Cf-Warnings") ?? "")).toMatch(
      /^The Cloud Controller did not match resources/,
    );
    expect(logs).toContainEqual(
      expect.objectContaining({
        event: "lookup-incomplete",
        unread: 3,
        causes: [expect.stringMatching(/no requests until \S+, after status 429/)],
      }),
    );
    expect(requests).toEqual([]);
    expect(await lookUp(requests, other)).toBe(1);

    advanceClock(59_000);
    expect(await lookUp(requests, token)).toBe(0);
    advanceClock(2_000);
    expect(await lookUp(requests, token)).toBe(1);
  });

  it("sends no more requests for any user after a 503 with Retry-After (R2.1)", async () => {
    let isDown = true;
    const until = new Date(Date.now() + 30_000).toUTCString();
    const requests = fakeCloudController((request) => (isDown ? limited(until, 503) : matchesAll(request)));
    expect(await lookUp(requests, await signToken())).toBe(1);
    isDown = false;
    expect(await lookUp(requests, await signToken())).toBe(0);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "cloud-controller-paused", status: 503, callers: "all" }),
    );
    advanceClock(31_000);
    expect(await lookUp(requests, await signToken())).toBe(1);
  });

  it.each([
    [0, "a 503 without Retry-After", 503, undefined],
    [0, "a 500 with Retry-After", 500, "60"],
    [1_000, "a 429 with Retry-After: 0", 429, "0"],
    [10_000, "a 429 without Retry-After", 429, undefined],
    [300_000, "a 429 with a Retry-After of an hour", 429, "3600"],
  ])("pauses for %i ms after %s", async (ms, _, status, retryAfter) => {
    let isLimited = true;
    const requests = fakeCloudController((request) =>
      isLimited ? limited(retryAfter, status) : matchesAll(request),
    );
    const token = await signToken();
    await lookUp(requests, token);
    isLimited = false;
    if (ms > 1_000) {
      advanceClock(ms - 1_000);
      expect(await lookUp(requests, token)).toBe(0);
    }
    advanceClock(ms > 1_000 ? 1_100 : ms);
    expect(await lookUp(requests, token)).toBe(1);
  });

  it("sends no more requests to verify a suspected retry after a 429, and returns the matches of the cache (R2.1)", async () => {
    await publish(FILES);
    let isLimited = false;
    const requests = fakeCloudController((request) => (isLimited ? limited("60") : matchesAll(request)));
    const token = await signToken();
    await sendWithEnv(isolate, { resources }, { token });
    isLimited = true;
    requests.length = 0;
    const response = await sendWithEnv(isolate, { resources }, { token });
    expect(await matchedPaths(response)).toHaveLength(FILES);
    expect(requests.length).toBeLessThanOrEqual(4);

    // Not even the sample of another request.
    requests.length = 0;
    await sendWithEnv(isolate, { resources: resources.slice(0, 100) }, { token });
    expect(requests).toEqual([]);
  });

  it("passes other requests through", async () => {
    const requests = fakeCloudController(() => limited("60", 503));
    const token = await signToken();
    await lookUp(requests, token);
    requests.length = 0;
    const url = ENDPOINT.replace("resource_matches", "apps");
    expect((await sendWithEnv(isolate, undefined, { token, url, method: "GET" })).status).toBe(503);
    expect(requests).toHaveLength(1);
  });
});
