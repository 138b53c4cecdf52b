import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TIMEOUT_MS } from "../../src/time/time-guarantees.ts";
import { instrumentCache } from "../support/cache.ts";
import { catalog, runAlarm } from "../support/catalog.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { signToken } from "../support/tokens.ts";
import { fillCache, matchedPaths, resource, type SentResource, sendWith } from "../support/worker.ts";

const WITH_ORIGIN = { CLOUD_CONTROLLER_URL };
const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));
const pathsOf = (resources: SentResource[]) => resources.map(({ path }) => path);
const requestedOf = async (requests: Request[]) =>
  (await requests[0]?.json<{ resources: SentResource[] }>())?.resources ?? [];
const observedKeys = async () => (await catalog().page()).resources;

const timeouts = { ...TIMEOUT_MS };

let logs: Record<string, unknown>[];
/** The matches of each tier, for each request. */
const matchesByTier = () =>
  logs.flatMap(({ event, tiers }) => {
    if (event !== "matched") return [];
    const { memory, keys, origin } = tiers as Record<"memory" | "keys" | "origin", { matched: number }>;
    return { memory: memory.matched, keys: keys.matched, origin: origin.matched };
  });

beforeEach(() => {
  TIMEOUT_MS.afterResponse = 300;
  logs = collectLogs();
});
afterEach(async () => {
  Object.assign(TIMEOUT_MS, timeouts);
  vi.restoreAllMocks();
  await reset();
});

describe("the look-up in the Cloud Controller", () => {
  it("requests files that the cache lacks from the Cloud Controller, with the caller's token and the request id", async () => {
    const requests = fakeCloudController(respondWithMatches(() => false));
    const token = await signToken();
    const headers = { "X-Request-Id": "push-1" };
    const response = await sendWith(WITH_ORIGIN, { resources: row(3) }, { token, headers });
    expect(response.status).toBe(201);
    const [request] = requests;
    expect(request?.method).toBe("POST");
    expect(request?.url).toBe(`${CLOUD_CONTROLLER_URL}/v3/resource_matches`);
    expect(request?.redirect).toBe("manual");
    expect(request?.headers.get("Authorization")).toBe(`Bearer ${token}`);
    expect(request?.headers.get("User-Agent")).toMatch(/^resource-matches\/\d/);
    expect(request?.headers.get("Via")).toBe("1.1 resource-matches");
    expect(request?.headers.get("X-Vcap-Request-Id")).toBe(response.headers.get("X-Vcap-Request-Id"));
  });

  it("requests each file once from the Cloud Controller, and none that is present or not eligible", async () => {
    await fillCache(resource(0));
    const requests = fakeCloudController(respondWithMatches(() => true));
    const resources = [
      resource(0),
      resource(1, { path: "a" }),
      resource(1, { path: "b" }),
      resource(2, { mode: "0400" }),
      resource(3, { checksum: { value: "z".repeat(40) } }),
      resource(4, { size_in_bytes: 536870913 }),
    ];
    const paths = await matchedPaths(await sendWith(WITH_ORIGIN, { resources }));
    expect(paths).toEqual(["src/0.js", "a", "b"]);
    // The Cloud Controller matches no resource without a mode.
    expect(await requestedOf(requests)).toEqual([
      { checksum: resource(1).checksum, size_in_bytes: 2, mode: "0744" },
    ]);
  });

  it("does not call the Cloud Controller before the response if the cache has all files", async () => {
    await fillCache(...row(3));
    fakeCloudController(respondWithMatches(() => true));
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources: row(3) }))).toHaveLength(3);
    expect(matchesByTier()).toEqual([{ memory: 0, keys: 3, origin: 0 }]);
  });

  it("does not call the Cloud Controller while FEATURE_RESOURCE_MATCHING is false", async () => {
    const requests = fakeCloudController(respondWithMatches(() => true));
    const off = { ...WITH_ORIGIN, FEATURE_RESOURCE_MATCHING: "false" };
    expect(await matchedPaths(await sendWith(off, { resources: row(3) }))).toEqual([]);
    expect(requests).toEqual([]);
  });

  it("returns the matches of cache and Cloud Controller in the order of the request", async () => {
    const resources = row(20);
    await fillCache(...resources.filter((_, index) => index % 3 === 0));
    fakeCloudController(respondWithMatches(({ size_in_bytes }) => size_in_bytes % 2 === 0));
    const expected = resources.filter((_, index) => index % 3 === 0 || index % 2 === 1);
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources }))).toEqual(pathsOf(expected));
    expect(matchesByTier()).toEqual([{ memory: 0, keys: 7, origin: 7 }]);
  });

  it("returns the matches of the Cloud Controller if KV fails (R2.1)", async () => {
    await fillCache();
    const { cache } = instrumentCache({ read: () => "fail" });
    fakeCloudController(respondWithMatches(() => true));
    const response = await sendWith({ ...WITH_ORIGIN, RESOURCE_CACHE: cache }, { resources: row(150) });
    expect(await matchedPaths(response)).toHaveLength(150);
  });
});

describe("the report to the catalog", () => {
  it("reports matches of the Cloud Controller, so that the next isolate finds them in the cache", async () => {
    const requests = fakeCloudController(respondWithMatches(() => true));
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources: row(1200) }))).toHaveLength(1200);
    expect(await observedKeys()).toHaveLength(1200);
    await runAlarm();
    requests.length = 0;
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources: row(1200) }))).toHaveLength(1200);
    // The sample that is verified after the response.
    expect(await requestedOf(requests)).toHaveLength(5);
  });

  it("reports only matches of the Cloud Controller, as of the time before the request to it (R1.3)", async () => {
    await fillCache(resource(0));
    const before = Date.now();
    let arrivedAt = 0;
    fakeCloudController(async (request) => {
      arrivedAt ||= Date.now();
      await scheduler.wait(20);
      return respondWithMatches(({ size_in_bytes }) => size_in_bytes === 2)(request);
    });
    const observe = vi.fn(async () => ({}));
    await sendWith({ ...WITH_ORIGIN, CATALOG: { getByName: () => ({ observe }) } }, { resources: row(5) });
    expect(observe.mock.calls).toEqual([
      [{ asOf: expect.any(Number), present: [`${resource(1).checksum.value}:2`], sizes: "client-reported" }],
    ]);
    const [{ asOf }] = observe.mock.calls[0] as unknown as [{ asOf: number }];
    expect(asOf).toBeGreaterThanOrEqual(before);
    expect(asOf).toBeLessThanOrEqual(arrivedAt);
  });

  it("does not report a checksum that a request has with several sizes: the Cloud Controller compares none", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const made = [1, 2, 3].map((size) => resource(7, { size_in_bytes: size }));
    await sendWith(WITH_ORIGIN, { resources: [...made, resource(8)] });
    expect(await observedKeys()).toEqual([`${resource(8).checksum.value}:9`]);
  });

  it("returns the matches of the Cloud Controller if the catalog is unreachable (R2.3)", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const observe = () => Promise.reject(new Error("the object was reset"));
    const bindings = { ...WITH_ORIGIN, CATALOG: { getByName: () => ({ observe }) } };
    expect(await matchedPaths(await sendWith(bindings, { resources: row(3) }))).toHaveLength(3);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "report-failed", cause: "Error: the object was reset" }),
    );
  });
});

describe("a look-up of many files", () => {
  it("sends four concurrent requests of 250 resources, and counts those that end by the deadline (R2.1)", async () => {
    const matchesAll = respondWithMatches(() => true);
    let count = 0;
    const requests = fakeCloudController((request) =>
      ++count <= 4 ? matchesAll(request) : new Promise(() => {}),
    );
    const late = { ...WITH_ORIGIN, LOOKUP_DEADLINE_MS: "500" };
    const response = await sendWith(late, { resources: row(1600) });
    const sizes = await Promise.all(
      requests.map(async (request) => (await request.json<{ resources: unknown[] }>()).resources.length),
    );
    // The first four requests get a response, the others do not.
    expect(sizes).toEqual([250, 250, 250, 250, 250, 250, 100]);
    expect(await matchedPaths(response)).toHaveLength(1000);
    expect(await observedKeys()).toHaveLength(1000);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "lookup-incomplete", tier: "origin", unread: 600 }),
    );
    expect(response.headers.get("X-Cf-Warnings")?.split(",")).toHaveLength(1);
    expect(requests.at(-1)?.signal.aborted).toBe(true);
  });

  it("sends no further request after the Cloud Controller refused the caller", async () => {
    const requests = fakeCloudController(() => Response.json({ errors: [{ code: 10003 }] }, { status: 403 }));
    expect((await sendWith(WITH_ORIGIN, { resources: row(5000) })).status).toBe(403);
    expect(requests.length).toBeLessThanOrEqual(4);
  });
});

describe("a refusal of the Cloud Controller", () => {
  const envelope = { errors: [{ detail: "You are not authorized", title: "CF-NotAuthorized", code: 10003 }] };

  it.each([401, 403, 409])(
    "relays a refusal of the Cloud Controller with status %i, body and headers",
    async (status) => {
      fakeCloudController(() =>
        Response.json(envelope, {
          status,
          headers: { "X-Cf-Warnings": "a%2Cb", "Retry-After": "7", Location: "/x", "Set-Cookie": "a=b" },
        }),
      );
      const response = await sendWith(WITH_ORIGIN, { resources: row(3) });
      expect(response.status).toBe(status);
      expect(await response.json()).toEqual(envelope);
      expect(response.headers.get("X-Cf-Warnings")).toBe("a%2Cb");
      expect(response.headers.get("Retry-After")).toBe("7");
      expect(response.headers.has("X-Vcap-Request-Id")).toBe(true);
      expect(response.headers.has("Location")).toBe(false);
      expect(response.headers.has("Set-Cookie")).toBe(false);
    },
  );
});

describe("a degraded Cloud Controller", () => {
  const wrong = { resources: [resource(1), resource(99)] };
  const html = (status: number) => () =>
    new Response("<html>oops</html>", { status, headers: { "Content-Type": "text/html" } });

  it.each<[string, (request: Request) => Response | Promise<Response>, RegExp]>([
    ["429", () => Response.json({ errors: [{ code: 10013 }] }, { status: 429 }), /status 429/],
    [
      "422, which refers to the request of the Worker and not of the caller",
      () => Response.json({ errors: [{ code: 10008 }] }, { status: 422 }),
      /status 422/,
    ],
    ["500", () => Response.json({ errors: [{ code: 10001 }] }, { status: 500 }), /status 500/],
    ["an HTML error page, 502", html(502), /status 502/],
    ["an HTML page with status 403", html(403), /status 403/],
    ["an HTML page with status 201", html(201), /not a list of resources/],
    ["200 instead of 201", () => Response.json(wrong), /status 200/],
    ["a redirect", () => new Response(null, { status: 302, headers: { Location: "https://evil/" } }), /302/],
    ["truncated JSON", () => new Response('{"resources":[', { status: 201 }), /not a list of resources/],
    [
      "JSON of another form",
      () => Response.json({ resources: [{ sha1: "x" }] }, { status: 201 }),
      /not a list/,
    ],
    ["a resource that was not requested", () => Response.json(wrong, { status: 201 }), /was not requested/],
    [
      "nothing, because the connection is lost",
      () => Promise.reject(new TypeError("connection lost")),
      /connection lost/,
    ],
    [
      "a body that ends early",
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => controller.error(new Error("cut")),
          }),
          { status: 201 },
        ),
      /cut/,
    ],
  ])(
    "returns 201, warns and logs the cause if the Cloud Controller sends %s (R2.1)",
    async (_, respond, cause) => {
      await fillCache(resource(0));
      fakeCloudController(respond);
      const response = await sendWith(WITH_ORIGIN, { resources: row(3) });
      expect(response.status).toBe(201);
      expect(await matchedPaths(response)).toEqual(["src/0.js"]);
      expect(decodeURIComponent(response.headers.get("X-Cf-Warnings") ?? "")).toMatch(
        /The Cloud Controller did not/,
      );
      expect(logs).toContainEqual(
        expect.objectContaining({ tier: "origin", unread: 2, causes: [expect.stringMatching(cause)] }),
      );
      expect(await observedKeys()).toEqual([]);
    },
  );

  it.each<[string, () => Promise<Response>]>([
    ["no response", () => new Promise(() => {})],
    ["a response without end", async () => new Response(new ReadableStream({}), { status: 201 })],
  ])("returns 201 within LOOKUP_DEADLINE_MS if the Cloud Controller sends %s (R2.2)", async (_, respond) => {
    await fillCache(resource(0));
    fakeCloudController(respond);
    const started = Date.now();
    const response = await sendWith({ ...WITH_ORIGIN, LOOKUP_DEADLINE_MS: "300" }, { resources: row(3) });
    expect(Date.now() - started).toBeLessThan(3_000);
    expect(await matchedPaths(response)).toEqual(["src/0.js"]);
    expect(response.headers.has("X-Cf-Warnings")).toBe(true);
  });

  it("shares LOOKUP_DEADLINE_MS between cache and Cloud Controller (R2.2)", async () => {
    await fillCache();
    const { cache } = instrumentCache({ read: () => "hang" });
    fakeCloudController(() => new Promise(() => {}));
    const started = Date.now();
    const degraded = { ...WITH_ORIGIN, RESOURCE_CACHE: cache, LOOKUP_DEADLINE_MS: "400" };
    const response = await sendWith(degraded, { resources: row(3) });
    expect(Date.now() - started).toBeLessThan(780);
    expect(response.status).toBe(201);
    expect(response.headers.get("X-Cf-Warnings")?.split(",")).toHaveLength(2);
  });
});

describe("MINIMUM_FILE_MODE with a Cloud Controller", () => {
  it("requires mode 0600 by default if a Cloud Controller is configured: it fails packages that lack it (R1.8)", async () => {
    await fillCache(resource(0));
    fakeCloudController(respondWithMatches(() => true));
    const resources = [resource(0, { mode: "0444" }), resource(1)];
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources }))).toEqual(["src/1.js"]);
    const lenient = { ...WITH_ORIGIN, MINIMUM_FILE_MODE: "0" };
    expect(await matchedPaths(await sendWith(lenient, { resources }))).toEqual(["src/0.js", "src/1.js"]);
  });
});
