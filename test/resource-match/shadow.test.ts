import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TIMEOUT_MS } from "../../src/time/time-guarantees.ts";
import { catalog, report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { expectDocumented } from "../support/documented.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController } from "../support/origin.ts";
import { collectPoints } from "../support/points.ts";
import { ENDPOINT, fillCache, keyOf, resource, type SentResource, sendWith } from "../support/worker.ts";

const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));
const SHADOW = { MODE: "shadow", CLOUD_CONTROLLER_URL };

let logs: Record<string, unknown>[];
let { points, METRICS } = collectPoints();
const shadowed = () => logs.filter(({ event }) => event === "shadowed");
const heldByCatalog = async () => (await catalog().page()).resources;

const patience = { ...TIMEOUT_MS };

beforeEach(() => {
  // What hangs behind an answer is given up in no time.
  TIMEOUT_MS.manifest = 100;
  logs = collectLogs();
  ({ points, METRICS } = collectPoints());
});
afterEach(async () => {
  Object.assign(TIMEOUT_MS, patience);
  vi.restoreAllMocks();
  await reset();
});

/** The Cloud Controller's own answer, to the byte unlike what this Worker would print. */
const spaced = (resources: SentResource[]) => `{ "resources":\n ${JSON.stringify(resources)} }`;
const answering = (holds: (resource: SentResource) => boolean) => async (request: Request) => {
  const { resources } = await request.json<{ resources: SentResource[] }>();
  return new Response(spaced(resources.filter(holds)), {
    status: 201,
    headers: { "Content-Type": "application/json", "X-Vcap-Request-Id": "of-the-cloud-controller" },
  });
};

describe("in shadow mode the Cloud Controller answers", () => {
  it("the request as it came, and its answer as it came, whatever the cache would say", async () => {
    await fillCache(...row(3));
    const requests = fakeCloudController(answering(({ size_in_bytes }) => size_in_bytes === 2));
    const body = spaced(row(4));
    const response = await sendWith(SHADOW, body, { headers: { "X-Custom": "yes" } });
    expect(await response.text()).toBe(spaced([resource(1)]));
    expect(response.status).toBe(201);
    expect(response.headers.get("X-Vcap-Request-Id")).toBe("of-the-cloud-controller");
    expect(response.headers.has("Server-Timing")).toBe(false);
    expect(response.headers.has("X-Cf-Warnings")).toBe(false);
    const [first] = requests;
    expect(first?.url).toBe(`${CLOUD_CONTROLLER_URL}/v3/resource_matches`);
    expect(first?.headers.get("X-Custom")).toBe("yes");
    expect(await first?.text()).toBe(body);
  });

  it.each([401, 403, 422, 429, 500])("its %i too, and the cache is not compared", async (status) => {
    fakeCloudController(() => new Response("<its own>", { status, headers: { "Retry-After": "7" } }));
    const response = await sendWith({ ...SHADOW, METRICS }, { resources: row(1) });
    expect([response.status, await response.text()]).toEqual([status, "<its own>"]);
    expect(response.headers.get("Retry-After")).toBe("7");
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared", status })]);
    expect(points).toEqual([expect.objectContaining({ event: "shadowed", outcome: "not-compared", status })]);
  });

  it.each([
    [201, "application/json; charset=utf-8", '{"resources":[]}'],
    [401, "application/json", '{"errors":[{"detail":"","title":"CF-InvalidAuthToken","code":1000}]}'],
    [404, "text/plain", "404 Not Found: Requested route does not exist."],
    [413, "text/html", "<h1>413 Request Entity Too Large</h1>"],
    [429, "application/json", '{"errors":[{"detail":"","title":"CF-RateLimitExceeded","code":10013}]}'],
    [502, "text/plain", "502 Bad Gateway: Registered endpoint failed to handle the request."],
    [503, "text/html", "<h1>No server is available</h1>"],
    [504, "application/json", "{}"],
  ])("%i %s of its own, as docs/openapi.json says", async (status, type, body) => {
    fakeCloudController(
      () => new Response(body, { status, headers: { "Content-Type": type, "X-Runtime": "0.01" } }),
    );
    const response = await sendWith(SHADOW, { resources: row(1) });
    expect([response.status, await response.clone().text()]).toEqual([status, body]);
    await expectDocumented({ method: "POST", url: ENDPOINT }, response, { isRelayed: true });
  });

  it("503 where it can't be reached, as for any request that is passed through", async () => {
    fakeCloudController(() => Promise.reject(new Error("connection refused")));
    const response = await sendWith(SHADOW, { resources: row(1) });
    expect(response.status).toBe(503);
    await expectDocumented({ method: "POST", url: ENDPOINT }, response);
  });

  const never = () => new Promise<never>(() => {});
  const throws = () => {
    throw new Error("out of order");
  };
  const fails = () => Promise.reject(new Error("out of order"));
  const troubles: [string, Record<string, unknown>][] = [
    ["hangs", { RESOURCE_CACHE: { get: never, put: never, delete: never }, LOOKUP_DEADLINE_MS: "50" }],
    ["fails", { RESOURCE_CACHE: { get: fails, put: fails, delete: fails } }],
    ["has no catalog", { CATALOG: { getByName: () => ({ observe: fails, deny: fails }) } }],
    ["has no UAA", { UAA_URL: "https://down.example.com" }],
    ["has a dataset that is out of order", { METRICS: { writeDataPoint: throws } }],
    ["is misconfigured", { KV_CACHE_TTL: "soon", MINIMUM_SIZE: "x" }],
    ["lacks its bindings", { RESOURCE_CACHE: undefined, CATALOG: undefined, UAA_URL: undefined }],
  ];
  it.each(troubles)("as ever, while the cache %s", async (_, trouble) => {
    fakeCloudController(answering(() => true));
    const response = await sendWith({ ...SHADOW, ...trouble }, { resources: row(2) });
    expect([response.status, await response.text()]).toEqual([201, spaced(row(2))]);
  });

  it("and a wrong configuration is in the log, while the operator's way in stays this Worker's", async () => {
    const requests = fakeCloudController(answering(() => true));
    await sendWith({ ...SHADOW, KV_CACHE_TTL: "soon" }, { resources: row(1) });
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "misconfigured", variable: "KV_CACHE_TTL" }),
    );
    requests.length = 0;
    const url = "https://api.example.com/v3/resource_matches/cache";
    const response = await sendWith({ ...SHADOW, KV_CACHE_TTL: "soon" }, undefined, { method: "GET", url });
    expect([response.status, requests]).toEqual([500, []]);
  });

  it("which must be set: else the mode is wrong", async () => {
    expect((await sendWith({ MODE: "shadow" }, { resources: row(1) })).status).toBe(500);
    expect(logs).toContainEqual(
      expect.objectContaining({
        event: "misconfigured",
        variable: "MODE",
        value: "shadow",
        expected: expect.stringContaining("CLOUD_CONTROLLER_URL"),
      }),
    );
  });
});

describe("in shadow mode the cache is compared", () => {
  it("what it would have matched and saved, what would have been wrong, and what it lacks", async () => {
    await fillCache(resource(0), resource(1), resource(2));
    fakeCloudController(answering(({ size_in_bytes }) => size_in_bytes !== 3 && size_in_bytes !== 6));
    const resources = [...row(6), resource(1, { path: "same" }), resource(2, { path: "same" })];
    await sendWith({ ...SHADOW, METRICS }, { resources });
    const figures = { resources: 8, eligible: 8, keysRead: 6 };
    expect(shadowed()).toEqual([
      expect.objectContaining({
        ...{ level: "warn", outcome: "compared", ...figures },
        ...{ wouldMatch: 5, bytesSaved: 1 + 2 + 2, staleMatches: 2, missedMatches: 2 },
        ms: { cloudController: expect.any(Number), cache: expect.any(Number) },
      }),
    ]);
    expect(points.filter(({ event }) => event === "shadowed")).toEqual([
      expect.objectContaining({
        ...{ foundation: "uaa.example.com", outcome: "compared", status: 201, resources: 8, keys_read: 6 },
        ...{ would_match: 5, bytes_saved: 5, stale_matches: 2, missed_matches: 2 },
      }),
    ]);
    expect(logs.map(({ event }) => event)).not.toContain("matched");
  });

  it("by the sizes that the Worker knows: limits unlike the Cloud Controller's show", async () => {
    fakeCloudController(answering(() => true));
    await sendWith({ ...SHADOW, MINIMUM_SIZE: "3" }, { resources: row(4) });
    expect(shadowed()).toEqual([expect.objectContaining({ eligible: 2, wouldMatch: 0, missedMatches: 4 })]);
  });

  it.each([
    ["no JSON", "{"],
    ["no list of resources", "{}"],
  ])("but not over a body that is %s, which is passed through", async (_, body) => {
    const requests = fakeCloudController(() => Response.json({ resources: [] }, { status: 201 }));
    const response = await sendWith(SHADOW, body);
    expect(await response.json()).toEqual({ resources: [] });
    expect((await requests[0]?.text())?.length).toBe(body.length);
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared", status: 201 })]);
  });

  it("nor over an answer that is no list of resources", async () => {
    fakeCloudController(() => new Response("<html>", { status: 201 }));
    expect(await (await sendWith(SHADOW, { resources: row(1) })).text()).toBe("<html>");
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared" })]);
  });

  const [MOST, LARGE] = [4 * 1024 * 1024, 20 * 1024 * 1024];
  const padded = (bytes: number) => spaced(row(2)).padEnd(bytes);
  const notCompared = (what: string) => ({
    ...{ outcome: "not-compared", status: 201 },
    reason: expect.stringContaining(`the ${what}: more than ${MOST} bytes`),
  });
  const tooLarge = notCompared("request");
  const compared = { outcome: "compared", resources: 2, missedMatches: 1 };

  it.each([
    [MOST, "with a length", compared],
    [MOST, "in chunks", compared],
    [MOST + 1, "with a length", tooLarge],
    [MOST + 1, "in chunks", tooLarge],
    [LARGE, "with a length", tooLarge],
    [LARGE, "in chunks", tooLarge],
  ])("of a request of %i bytes, %s, of 4 MiB at most; all is passed through", async (bytes, how, outcome) => {
    const requests = fakeCloudController(() => new Response(spaced(row(1)), { status: 201 }));
    const body = padded(bytes);
    const [sent, headers] =
      how === "in chunks"
        ? [new Response(body).body ?? "", {}]
        : [body, { "Content-Length": String(body.length) }];
    const response = await sendWith({ ...SHADOW, METRICS }, sent, { headers });
    expect([response.status, await response.text()]).toEqual([201, spaced(row(1))]);
    expect((await requests[0]?.text()) === body).toBe(true);
    expect(shadowed()).toEqual([expect.objectContaining(outcome)]);
    expect(points.at(-1)).toMatchObject({ event: "shadowed", outcome: outcome.outcome, status: 201 });
  });

  it.each([
    [MOST, { outcome: "compared", resources: 2, missedMatches: 2 }],
    [MOST + 1, notCompared("response")],
    [LARGE, notCompared("response")],
  ])("with an answer of %i bytes, of 4 MiB at most; all comes back", async (bytes, outcome) => {
    fakeCloudController(() => new Response(padded(bytes), { status: 201 }));
    const response = await sendWith(SHADOW, { resources: row(2) });
    expect(response.status).toBe(201);
    expect((await response.text()) === padded(bytes)).toBe(true);
    expect(shadowed()).toEqual([expect.objectContaining(outcome)]);
  });

  it("does not call the push session", async () => {
    const getByName = vi.fn();
    fakeCloudController(answering(() => true));
    await sendWith({ ...SHADOW, PUSH_SESSIONS: { getByName } }, { resources: row(1) });
    expect(getByName).not.toHaveBeenCalled();
  });
});

describe("in shadow mode the cache learns", () => {
  it("what the Cloud Controller has matched, as in any mode", async () => {
    fakeCloudController(answering(({ size_in_bytes }) => size_in_bytes < 3));
    await sendWith(SHADOW, { resources: row(4) });
    expect(await heldByCatalog()).toEqual([keyOf(0), keyOf(1)]);
  });

  it("that too where the comparison can't be told of, and the log says so", async () => {
    vi.spyOn(console, "log").mockImplementation(() => {
      throw new Error("out of order");
    });
    fakeCloudController(answering(() => true));
    expect((await sendWith(SHADOW, { resources: row(2) })).status).toBe(201);
    expect(await heldByCatalog()).toEqual([keyOf(0), keyOf(1)]);
    expect(logs).toEqual([
      expect.objectContaining({ level: "error", event: "telemetry-failed", cause: "Error: out of order" }),
    ]);
  });

  it("what it has too much, once the Cloud Controller has denied it whatever the mode", async () => {
    await report({ present: row(20).map((_, index) => keyOf(index)), asOf: Date.now() - 1_000 });
    advanceClock(20_000);
    await runAlarm();
    const requests = fakeCloudController(
      answering(({ size_in_bytes, mode }) => size_in_bytes > 2 && mode !== undefined && mode !== null),
    );
    const resources = row(20).map((each, index) => (index === 5 ? { ...each, mode: null } : each));
    await sendWith(SHADOW, { resources });
    expect(shadowed()).toEqual([expect.objectContaining({ staleMatches: 3 })]);
    expect(requests).toHaveLength(2);
    expect(await heldByCatalog()).toHaveLength(18);
    expect(logs).toContainEqual(expect.objectContaining({ event: "matches-rejected", rejected: 2 }));
  });

  it("nothing from a caller whose token does not verify, nor is the cache asked for one", async () => {
    const get = vi.fn(async () => null);
    const RESOURCE_CACHE = { get, put: () => {}, delete: () => {} };
    fakeCloudController(answering(() => true));
    const response = await sendWith(
      { ...SHADOW, RESOURCE_CACHE },
      { resources: row(2) },
      { token: "garbage" },
    );
    expect(response.status).toBe(201);
    expect(get).not.toHaveBeenCalled();
    expect(await heldByCatalog()).toEqual([]);
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared" })]);
  });
});

it("in shadow mode every other request is passed through too", async () => {
  const requests = fakeCloudController(() => new Response("others"));
  const url = "https://api.example.com/v3/apps";
  expect(await (await sendWith(SHADOW, undefined, { method: "GET", url })).text()).toBe("others");
  expect(requests).toHaveLength(1);
  expect(shadowed()).toEqual([]);
});
