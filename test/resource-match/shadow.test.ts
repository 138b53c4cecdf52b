import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Contents } from "../../src/cache/contents.ts";
import { TIMEOUT_MS } from "../../src/time/time-guarantees.ts";
import { instrumentCache } from "../support/cache.ts";
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
const keysInCatalog = async () => (await catalog().page()).resources;

const timeouts = { ...TIMEOUT_MS };

beforeEach(() => {
  // Calls that hang after the response end soon.
  TIMEOUT_MS.manifest = 100;
  logs = collectLogs();
  ({ points, METRICS } = collectPoints());
});
afterEach(async () => {
  Object.assign(TIMEOUT_MS, timeouts);
  vi.restoreAllMocks();
  await reset();
});

/** A body with other white space than the Worker would write. */
const spaced = (resources: SentResource[]) => `{ "resources":\n ${JSON.stringify(resources)} }`;
const respondSpaced = (isPooled: (resource: SentResource) => boolean) => async (request: Request) => {
  const { resources } = await request.json<{ resources: SentResource[] }>();
  return new Response(spaced(resources.filter(isPooled)), {
    status: 201,
    headers: { "Content-Type": "application/json", "X-Vcap-Request-Id": "of-the-cloud-controller" },
  });
};

describe("the response in shadow mode", () => {
  it("passes request and response through unchanged in shadow mode, with any cache contents (R2.5)", async () => {
    await fillCache(...row(3));
    const requests = fakeCloudController(respondSpaced(({ size_in_bytes }) => size_in_bytes === 2));
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

  it.each([401, 403, 422, 429, 500])(
    "passes a %i through in shadow mode, and does not compare (R2.5)",
    async (status) => {
      fakeCloudController(() => new Response("<its own>", { status, headers: { "Retry-After": "7" } }));
      const response = await sendWith({ ...SHADOW, METRICS }, { resources: row(1) });
      expect([response.status, await response.text()]).toEqual([status, "<its own>"]);
      expect(response.headers.get("Retry-After")).toBe("7");
      expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared", status })]);
      expect(points).toEqual([
        expect.objectContaining({ event: "shadowed", outcome: "not-compared", status }),
      ]);
    },
  );

  it.each([
    [201, "application/json; charset=utf-8", '{"resources":[]}'],
    [401, "application/json", '{"errors":[{"detail":"","title":"CF-InvalidAuthToken","code":1000}]}'],
    [404, "text/plain", "404 Not Found: Requested route does not exist."],
    [413, "text/html", "<h1>413 Request Entity Too Large</h1>"],
    [429, "application/json", '{"errors":[{"detail":"","title":"CF-RateLimitExceeded","code":10013}]}'],
    [502, "text/plain", "502 Bad Gateway: Registered endpoint failed to handle the request."],
    [503, "text/html", "<h1>No server is available</h1>"],
    [504, "application/json", "{}"],
  ])(
    "passes a %i with Content-Type %s through, as docs/openapi.json describes (R2.5)",
    async (status, type, body) => {
      fakeCloudController(
        () => new Response(body, { status, headers: { "Content-Type": type, "X-Runtime": "0.01" } }),
      );
      const response = await sendWith(SHADOW, { resources: row(1) });
      expect([response.status, await response.clone().text()]).toEqual([status, body]);
      await expectDocumented({ method: "POST", url: ENDPOINT }, response, { isRelayed: true });
    },
  );

  it("returns 503 in shadow mode if the Cloud Controller is unreachable", async () => {
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
    ["KV hangs", { RESOURCE_CACHE: { get: never, put: never, delete: never }, LOOKUP_DEADLINE_MS: "50" }],
    ["KV fails", { RESOURCE_CACHE: { get: fails, put: fails, delete: fails } }],
    [
      "the catalog is unreachable",
      { CATALOG: { getByName: () => ({ observe: fails, reportRejections: fails }) } },
    ],
    ["UAA is unreachable", { UAA_URL: "https://down.example.com" }],
    ["METRICS fails", { METRICS: { writeDataPoint: throws } }],
    ["variables are wrong", { KV_CACHE_TTL: "soon", MINIMUM_SIZE: "x" }],
    ["bindings are missing", { RESOURCE_CACHE: undefined, CATALOG: undefined, UAA_URL: undefined }],
  ];
  it.each(troubles)(
    "returns the response of the Cloud Controller in shadow mode while %s (R2.5)",
    async (_, trouble) => {
      fakeCloudController(respondSpaced(() => true));
      const response = await sendWith({ ...SHADOW, ...trouble }, { resources: row(2) });
      expect([response.status, await response.text()]).toEqual([201, spaced(row(2))]);
    },
  );

  it("logs a wrong variable in shadow mode, and does not pass the operator API through (R2.5)", async () => {
    const requests = fakeCloudController(respondSpaced(() => true));
    await sendWith({ ...SHADOW, KV_CACHE_TTL: "soon" }, { resources: row(1) });
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "misconfigured", variable: "KV_CACHE_TTL" }),
    );
    requests.length = 0;
    const url = "https://api.example.com/v3/resource_matches/cache";
    const response = await sendWith({ ...SHADOW, KV_CACHE_TTL: "soon" }, undefined, { method: "GET", url });
    expect([response.status, requests]).toEqual([500, []]);
  });

  it("rejects MODE shadow without CLOUD_CONTROLLER_URL", async () => {
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

describe("the comparison in shadow mode", () => {
  it("logs and measures what the cache would have matched, its stale matches and its missed matches", async () => {
    await fillCache(resource(0), resource(1), resource(2));
    fakeCloudController(respondSpaced(({ size_in_bytes }) => size_in_bytes !== 3 && size_in_bytes !== 6));
    const resources = [...row(6), resource(1, { path: "same" }), resource(2, { path: "same" })];
    await sendWith({ ...SHADOW, METRICS }, { resources });
    expect(shadowed()).toEqual([
      expect.objectContaining({
        level: "warn",
        outcome: "compared",
        resources: 8,
        eligible: 8,
        keysRead: 6,
        wouldMatch: 5,
        bytesSaved: 1 + 2 + 2,
        staleMatches: 2,
        missedMatches: 2,
        ms: { cloudController: expect.any(Number), cache: expect.any(Number) },
      }),
    ]);
    expect(points.filter(({ event }) => event === "shadowed")).toEqual([
      expect.objectContaining({
        foundation: "uaa.example.com",
        outcome: "compared",
        status: 201,
        resources: 8,
        keys_read: 6,
        would_match: 5,
        bytes_saved: 5,
        stale_matches: 2,
        missed_matches: 2,
      }),
    ]);
    expect(logs.map(({ event }) => event)).not.toContain("matched");
  });

  it("counts files outside the Worker's own size limits as missed matches", async () => {
    fakeCloudController(respondSpaced(() => true));
    await sendWith({ ...SHADOW, MINIMUM_SIZE: "3" }, { resources: row(4) });
    expect(shadowed()).toEqual([expect.objectContaining({ eligible: 2, wouldMatch: 0, missedMatches: 4 })]);
  });

  it.each([
    ["not JSON", "{"],
    ["not a list of resources", "{}"],
  ])("does not compare a request that is %s, and passes it through (R2.5)", async (_, body) => {
    const requests = fakeCloudController(() => Response.json({ resources: [] }, { status: 201 }));
    const response = await sendWith(SHADOW, body);
    expect(await response.json()).toEqual({ resources: [] });
    expect((await requests[0]?.text())?.length).toBe(body.length);
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared", status: 201 })]);
  });

  it("does not compare a response that is not a list of resources", async () => {
    fakeCloudController(() => new Response("<html>", { status: 201 }));
    expect(await (await sendWith(SHADOW, { resources: row(1) })).text()).toBe("<html>");
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared" })]);
  });

  const [MOST, LARGE] = [4 * 1024 * 1024, 20 * 1024 * 1024];
  const padded = (bytes: number) => spaced(row(2)).padEnd(bytes);
  const notCompared = (what: string) => ({
    outcome: "not-compared",
    status: 201,
    reason: expect.stringMatching(`^the ${what}: (more than ${MOST}|${MOST + 1}) bytes$`),
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
  ])(
    "compares requests of at most 4 MiB, and passes all through: %i bytes, %s",
    async (bytes, how, outcome) => {
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
    },
  );

  it.each([
    [MOST, { outcome: "compared", resources: 2, missedMatches: 2 }],
    [MOST + 1, notCompared("response")],
    [LARGE, notCompared("response")],
  ])("compares responses of at most 4 MiB, and returns all: %i bytes", async (bytes, outcome) => {
    fakeCloudController(() => new Response(padded(bytes), { status: 201 }));
    const response = await sendWith(SHADOW, { resources: row(2) });
    expect(response.status).toBe(201);
    expect((await response.text()) === padded(bytes)).toBe(true);
    expect(shadowed()).toEqual([expect.objectContaining(outcome)]);
  });

  it("reads at most 4 MiB of a copy whose length is unknown", async () => {
    const chunk = new Uint8Array(64 * 1024).fill(" ".charCodeAt(0));
    let sentBytes = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          sentBytes += chunk.length;
          controller.enqueue(chunk.slice());
          if (sentBytes >= LARGE) controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    // The Cloud Controller does not read the request, so that only the copy is read.
    fakeCloudController(() => new Response(spaced(row(1)), { status: 201 }));
    expect((await sendWith(SHADOW, body)).status).toBe(201);
    expect(shadowed()).toEqual([expect.objectContaining(tooLarge)]);
    expect(sentBytes).toBeGreaterThan(MOST);
    expect(sentBytes).toBeLessThanOrEqual(MOST + 4 * chunk.length);
  });

  it("ends the comparison by one deadline after the response, even if LOOKUP_DEADLINE_MS is longer (R2.2)", async () => {
    TIMEOUT_MS.afterResponse = 200;
    await fillCache();
    const { cache } = instrumentCache({ read: () => "hang" });
    fakeCloudController(respondSpaced(() => true));
    const bindings = { ...SHADOW, RESOURCE_CACHE: cache, LOOKUP_DEADLINE_MS: "60000" };
    const startedAt = Date.now();
    expect((await sendWith(bindings, { resources: row(2) })).status).toBe(201);
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    const reason = expect.stringContaining("DeadlineExceeded");
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared", reason })]);
  });

  it("logs the reason why a request was not compared", async () => {
    const bug = new TypeError("a bug");
    vi.spyOn(Contents.prototype, "entries").mockImplementation(() => {
      throw bug;
    });
    fakeCloudController(respondSpaced(() => true));
    await fillCache(resource(0));
    await sendWith(SHADOW, { resources: row(1) });
    await sendWith(SHADOW, { resources: row(1) }, { token: null });
    await sendWith({ ...SHADOW, FEATURE_RESOURCE_MATCHING: "false" }, { resources: row(1) });
    fakeCloudController(() => new Response("busy", { status: 503 }));
    await sendWith(SHADOW, { resources: row(1) });
    expect(shadowed().map(({ reason }) => reason)).toEqual([
      "the request: TypeError: a bug",
      "the request: no Authorization header",
      "FEATURE_RESOURCE_MATCHING is false",
      "the Cloud Controller's status is 503",
    ]);
  });

  it("does not call the push session in shadow mode", async () => {
    const getByName = vi.fn();
    fakeCloudController(respondSpaced(() => true));
    await sendWith({ ...SHADOW, PUSH_SESSIONS: { getByName } }, { resources: row(1) });
    expect(getByName).not.toHaveBeenCalled();
  });
});

describe("the report in shadow mode", () => {
  it("reports matches of the Cloud Controller in shadow mode", async () => {
    fakeCloudController(respondSpaced(({ size_in_bytes }) => size_in_bytes < 3));
    await sendWith(SHADOW, { resources: row(4) });
    expect(await keysInCatalog()).toEqual([keyOf(0), keyOf(1)]);
  });

  it("reports matches in shadow mode if logging the comparison fails (R2.3)", async () => {
    vi.spyOn(console, "log").mockImplementation(() => {
      throw new Error("out of order");
    });
    fakeCloudController(respondSpaced(() => true));
    expect((await sendWith(SHADOW, { resources: row(2) })).status).toBe(201);
    expect(await keysInCatalog()).toEqual([keyOf(0), keyOf(1)]);
    expect(logs).toEqual([
      expect.objectContaining({ level: "error", event: "telemetry-failed", cause: "Error: out of order" }),
    ]);
  });

  it("reports stale matches in shadow mode if the Cloud Controller rejects them with a valid mode too (R1.6)", async () => {
    await report({ present: row(20).map((_, index) => keyOf(index)), asOf: Date.now() - 1_000 });
    advanceClock(20_000);
    await runAlarm();
    const requests = fakeCloudController(
      respondSpaced(({ size_in_bytes, mode }) => size_in_bytes > 2 && mode !== undefined && mode !== null),
    );
    const resources = row(20).map((each, index) => (index === 5 ? { ...each, mode: null } : each));
    await sendWith(SHADOW, { resources });
    expect(shadowed()).toEqual([expect.objectContaining({ staleMatches: 3 })]);
    expect(requests).toHaveLength(2);
    expect(await keysInCatalog()).toHaveLength(18);
    expect(logs).toContainEqual(expect.objectContaining({ event: "matches-rejected", rejected: 2 }));
  });

  it("reads and reports nothing in shadow mode for an invalid token", async () => {
    const get = vi.fn(async () => null);
    const RESOURCE_CACHE = { get, put: () => {}, delete: () => {} };
    fakeCloudController(respondSpaced(() => true));
    const response = await sendWith(
      { ...SHADOW, RESOURCE_CACHE },
      { resources: row(2) },
      { token: "garbage" },
    );
    expect(response.status).toBe(201);
    expect(get).not.toHaveBeenCalled();
    expect(await keysInCatalog()).toEqual([]);
    expect(shadowed()).toEqual([expect.objectContaining({ outcome: "not-compared" })]);
  });
});

it("passes all other requests through in shadow mode", async () => {
  const requests = fakeCloudController(() => new Response("others"));
  const url = "https://api.example.com/v3/apps";
  expect(await (await sendWith(SHADOW, undefined, { method: "GET", url })).text()).toBe("others");
  expect(requests).toHaveLength(1);
  expect(shadowed()).toEqual([]);
});
