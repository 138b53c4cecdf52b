import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { instrumentCache } from "../support/cache.ts";
import { catalog, runAlarm } from "../support/catalog.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { signToken } from "../support/tokens.ts";
import { fillCache, matchedPaths, resource, type SentResource, sendWith } from "../support/worker.ts";

const WITH_ORIGIN = { CLOUD_CONTROLLER_URL };
const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));
const pathsOf = (resources: SentResource[]) => resources.map(({ path }) => path);
const asked = async (requests: Request[]) =>
  (await requests[0]?.json<{ resources: SentResource[] }>())?.resources ?? [];
const observedKeys = async () => (await catalog().page()).resources;

let logs: Record<string, unknown>[];
/** Of each request that was answered how much each tier held. */
const heldByTiers = () =>
  logs.flatMap(({ event, tiers }) => {
    if (event !== "matched") return [];
    const { memory, keys, origin } = tiers as Record<"memory" | "keys" | "origin", { matched: number }>;
    return { memory: memory.matched, keys: keys.matched, origin: origin.matched };
  });

beforeEach(() => {
  logs = collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("what the cache does not know", () => {
  it("is asked of the Cloud Controller, in the caller's name and by the request's id", async () => {
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
    expect(request?.headers.get("X-Vcap-Request-Id")).toBe(response.headers.get("X-Vcap-Request-Id"));
  });

  it("is all that is asked: once each, nothing that is held or can't match", async () => {
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
    // Every resource has a mode, for the Cloud Controller matches none without.
    expect(await asked(requests)).toEqual([
      { checksum: resource(1).checksum, size_in_bytes: 2, mode: "0744" },
    ]);
  });

  it("is not asked before the answer where there is nothing left to ask", async () => {
    await fillCache(...row(3));
    fakeCloudController(respondWithMatches(() => true));
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources: row(3) }))).toHaveLength(3);
    expect(heldByTiers()).toEqual([{ memory: 0, keys: 3, origin: 0 }]);
  });

  it("is not asked with resource_matching off", async () => {
    const requests = fakeCloudController(respondWithMatches(() => true));
    const off = { ...WITH_ORIGIN, FEATURE_RESOURCE_MATCHING: "false" };
    expect(await matchedPaths(await sendWith(off, { resources: row(3) }))).toEqual([]);
    expect(requests).toEqual([]);
  });

  it("joins the answer in the request's order", async () => {
    const resources = row(20);
    await fillCache(...resources.filter((_, index) => index % 3 === 0));
    fakeCloudController(respondWithMatches(({ size_in_bytes }) => size_in_bytes % 2 === 0));
    const expected = resources.filter((_, index) => index % 3 === 0 || index % 2 === 1);
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources }))).toEqual(pathsOf(expected));
    expect(heldByTiers()).toEqual([{ memory: 0, keys: 7, origin: 7 }]);
  });

  it("makes up for a cache that fails", async () => {
    await fillCache();
    const { cache } = instrumentCache({ read: () => "fail" });
    fakeCloudController(respondWithMatches(() => true));
    const response = await sendWith({ ...WITH_ORIGIN, RESOURCE_CACHE: cache }, { resources: row(150) });
    expect(await matchedPaths(response)).toHaveLength(150);
  });
});

describe("what the Cloud Controller matches is told to the catalog", () => {
  it("in one call behind the answer, however many; and the next isolate needs no Cloud Controller", async () => {
    const requests = fakeCloudController(respondWithMatches(() => true));
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources: row(1200) }))).toHaveLength(1200);
    expect(await observedKeys()).toHaveLength(1200);
    await runAlarm();
    requests.length = 0;
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources: row(1200) }))).toHaveLength(1200);
    // Five of the claims are looked at behind the answer.
    expect(await asked(requests)).toHaveLength(5);
  });

  it("only what was matched, and never what the cache knew, as of the moment before it was asked", async () => {
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

  it("no checksum of which a request asks several sizes, for a file has one and the Cloud Controller compares none", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const made = [1, 2, 3].map((size) => resource(7, { size_in_bytes: size }));
    await sendWith(WITH_ORIGIN, { resources: [...made, resource(8)] });
    expect(await observedKeys()).toEqual([`${resource(8).checksum.value}:9`]);
  });

  it("a catalog that can't be reached does not matter", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const observe = () => Promise.reject(new Error("the object was reset"));
    const bindings = { ...WITH_ORIGIN, CATALOG: { getByName: () => ({ observe }) } };
    expect(await matchedPaths(await sendWith(bindings, { resources: row(3) }))).toHaveLength(3);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "report-failed", cause: "Error: the object was reset" }),
    );
  });
});

describe("more than a Cloud Controller can look up in time", () => {
  it("is asked in questions of 250, four at once; what is answered by the deadline counts and is told", async () => {
    const holdsAll = respondWithMatches(() => true);
    let questions = 0;
    const requests = fakeCloudController((request) =>
      ++questions <= 4 ? holdsAll(request) : new Promise(() => {}),
    );
    const late = { ...WITH_ORIGIN, LOOKUP_DEADLINE_MS: "500" };
    const response = await sendWith(late, { resources: row(1600) });
    const sizes = await Promise.all(
      requests.map(async (request) => (await request.json<{ resources: unknown[] }>()).resources.length),
    );
    // 1,000 are answered; of the next four questions no one is.
    expect(sizes).toEqual([250, 250, 250, 250, 250, 250, 100]);
    expect(await matchedPaths(response)).toHaveLength(1000);
    expect(await observedKeys()).toHaveLength(1000);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "lookup-incomplete", tier: "origin", unread: 600 }),
    );
    expect(response.headers.get("X-Cf-Warnings")?.split(",")).toHaveLength(1);
    expect(requests.at(-1)?.signal.aborted).toBe(true);
  });

  it("is asked no further once it has refused the caller", async () => {
    const requests = fakeCloudController(() => Response.json({ errors: [{ code: 10003 }] }, { status: 403 }));
    expect((await sendWith(WITH_ORIGIN, { resources: row(5000) })).status).toBe(403);
    expect(requests.length).toBeLessThanOrEqual(4);
  });
});

describe("what the Cloud Controller refuses is relayed", () => {
  const envelope = { errors: [{ detail: "You are not authorized", title: "CF-NotAuthorized", code: 10003 }] };

  it.each([401, 403, 409])("%i, body and headers as they came", async (status) => {
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
  });
});

describe("a Cloud Controller that is unwell never fails a push", () => {
  const lie = { resources: [resource(1), resource(99)] };
  const html = (status: number) => () =>
    new Response("<html>oops</html>", { status, headers: { "Content-Type": "text/html" } });

  it.each<[string, (request: Request) => Response | Promise<Response>, RegExp]>([
    ["429", () => Response.json({ errors: [{ code: 10013 }] }, { status: 429 }), /status 429/],
    [
      "422, which judges the Worker's question and not the user's",
      () => Response.json({ errors: [{ code: 10008 }] }, { status: 422 }),
      /status 422/,
    ],
    ["500", () => Response.json({ errors: [{ code: 10001 }] }, { status: 500 }), /status 500/],
    ["an HTML error page, 502", html(502), /status 502/],
    ["an HTML page that says 403", html(403), /status 403/],
    ["an HTML page that says 201", html(201), /no list of resources/],
    ["200 instead of 201", () => Response.json(lie), /status 200/],
    ["a redirect", () => new Response(null, { status: 302, headers: { Location: "https://evil/" } }), /302/],
    ["cut off JSON", () => new Response('{"resources":[', { status: 201 }), /no list of resources/],
    ["another shape", () => Response.json({ resources: [{ sha1: "x" }] }, { status: 201 }), /no list/],
    ["what was not asked for", () => Response.json(lie, { status: 201 }), /was not asked for/],
    ["a connection that is cut", () => Promise.reject(new TypeError("connection lost")), /connection lost/],
    [
      "a body that is cut",
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => controller.error(new Error("cut")),
          }),
          { status: 201 },
        ),
      /cut/,
    ],
  ])("%s: no match from it, a warning and the cause in the log", async (_, answer, cause) => {
    await fillCache(resource(0));
    fakeCloudController(answer);
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
  });

  it.each<[string, () => Promise<Response>]>([
    ["no answer at all", () => new Promise(() => {})],
    ["an answer without end", async () => new Response(new ReadableStream({}), { status: 201 })],
  ])("%s: the deadline ends it", async (_, answer) => {
    await fillCache(resource(0));
    fakeCloudController(answer);
    const started = Date.now();
    const response = await sendWith({ ...WITH_ORIGIN, LOOKUP_DEADLINE_MS: "300" }, { resources: row(3) });
    expect(Date.now() - started).toBeLessThan(3_000);
    expect(await matchedPaths(response)).toEqual(["src/0.js"]);
    expect(response.headers.has("X-Cf-Warnings")).toBe(true);
  });

  it("one deadline spans the tiers: what the cache has used up, the Cloud Controller does not get", async () => {
    await fillCache();
    const { cache } = instrumentCache({ read: () => "hang" });
    fakeCloudController(() => new Promise(() => {}));
    const started = Date.now();
    const unwell = { ...WITH_ORIGIN, RESOURCE_CACHE: cache, LOOKUP_DEADLINE_MS: "400" };
    const response = await sendWith(unwell, { resources: row(3) });
    expect(Date.now() - started).toBeLessThan(780);
    expect(response.status).toBe(201);
    expect(response.headers.get("X-Cf-Warnings")?.split(",")).toHaveLength(2);
  });
});

describe("modes before a Cloud Controller", () => {
  it("0600 is asked for by default, since a package that claims less fails; and can be set otherwise", async () => {
    await fillCache(resource(0));
    fakeCloudController(respondWithMatches(() => true));
    const resources = [resource(0, { mode: "0444" }), resource(1)];
    expect(await matchedPaths(await sendWith(WITH_ORIGIN, { resources }))).toEqual(["src/1.js"]);
    const lenient = { ...WITH_ORIGIN, MINIMUM_FILE_MODE: "0" };
    expect(await matchedPaths(await sendWith(lenient, { resources }))).toEqual(["src/0.js", "src/1.js"]);
  });
});
