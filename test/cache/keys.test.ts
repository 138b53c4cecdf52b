import { env } from "cloudflare:workers";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { instrumentCache } from "../support/cache.ts";
import { collectLogs } from "../support/logs.ts";
import { fillCache, matchedPaths, resource, sendWith } from "../support/worker.ts";

const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));

/** Decodes warnings as cf CLI does. */
const warningsOf = (response: Response) =>
  response.headers
    .get("X-Cf-Warnings")
    ?.split(",")
    .map((warning) => decodeURIComponent(warning));

// Every tenth resource of a row is present.
beforeAll(() => fillCache(...row(400).filter((_, index) => index % 10 === 0)));
afterEach(() => vi.restoreAllMocks());

describe("key reads", () => {
  it.each([
    [1, 1],
    [99, 1],
    [100, 1],
    [101, 2],
    [5000, 50],
  ])("reads the keys of %i resources in %i reads, each key once", async (resources, expectedReads) => {
    const { cache, reads } = instrumentCache();
    const response = await sendWith({ RESOURCE_CACHE: cache }, { resources: row(resources) });
    expect(response.status).toBe(201);
    expect(reads).toHaveLength(expectedReads);
    expect(Math.max(...reads.map(({ keys }) => keys.length))).toBeLessThanOrEqual(100);
    expect(new Set(reads.flatMap(({ keys }) => keys)).size).toBe(resources);
    expect(reads.flatMap(({ keys }) => keys)).toHaveLength(resources);
  });

  it("starts all key reads at once", async () => {
    const instrumented = instrumentCache();
    await sendWith({ RESOURCE_CACHE: instrumented.cache }, { resources: row(1000) });
    expect(instrumented.mostAtOnce).toBe(10);
  });

  it("reads one key for a content with many paths, modes and letter cases", async () => {
    const { cache, reads } = instrumentCache();
    const resources = row(500).map((_, index) =>
      resource(10, { path: `copy/${index}`, mode: `${index % 8}44` }),
    );
    resources[1]?.checksum.value.toUpperCase();
    const upper = resource(10, { checksum: { value: resource(10).checksum.value.toUpperCase() } });
    const response = await sendWith({ RESOURCE_CACHE: cache }, { resources: [...resources, upper] });
    expect(await matchedPaths(response)).toHaveLength(501);
    expect(reads.flatMap(({ keys }) => keys)).toEqual([`${resource(10).checksum.value}:11`]);
  });

  it("reads no keys of resources that can't match", async () => {
    const { cache, reads } = instrumentCache();
    const resources = [
      resource(0, { size_in_bytes: 9 }),
      resource(0, { size_in_bytes: 101 }),
      resource(0, { checksum: { value: "z".repeat(40) }, size_in_bytes: 50 }),
    ];
    const limits = { MINIMUM_SIZE: "10", MAXIMUM_SIZE: "100" };
    expect(await matchedPaths(await sendWith({ RESOURCE_CACHE: cache, ...limits }, { resources }))).toEqual(
      [],
    );
    expect(reads).toEqual([]);
  });

  it("reads no keys for a refused request, or with resource_matching off", async () => {
    const { cache, reads } = instrumentCache();
    await sendWith({ RESOURCE_CACHE: cache }, { resources: [resource(0), 1] });
    await sendWith({ RESOURCE_CACHE: cache }, { resources: row(3) }, { token: "garbage" });
    await sendWith({ RESOURCE_CACHE: cache, FEATURE_RESOURCE_MATCHING: "false" }, { resources: row(3) });
    expect(reads).toEqual([]);
  });

  it("reads keys with KV_CACHE_TTL as cacheTtl", async () => {
    const { cache, reads } = instrumentCache();
    await sendWith({ RESOURCE_CACHE: cache, KV_CACHE_TTL: "300" }, { resources: row(1) });
    expect(reads[0]?.options).toMatchObject({ cacheTtl: 300 });
  });
});

describe("a degraded cache never fails a push (R2.1)", () => {
  it("matches the keys that were read if one read fails, with a warning and a log line", async () => {
    const logs = collectLogs();
    const { cache } = instrumentCache({ read: (index) => (index === 1 ? "fail" : undefined) });
    const response = await sendWith({ RESOURCE_CACHE: cache }, { resources: row(250) });
    expect(response.status).toBe(201);
    expect(warningsOf(response)).toEqual([expect.stringMatching(/could not look up 100 files/)]);
    const paths = await matchedPaths(response);
    expect(paths).toContain("src/90.js");
    expect(paths).not.toContain("src/110.js");
    expect(paths).toContain("src/240.js");
    expect(logs).toContainEqual(
      expect.objectContaining({
        level: "warn",
        event: "lookup-incomplete",
        unread: 100,
        causes: ["Error: KV GET failed: 503 Service Unavailable"],
      }),
    );
  });

  it("matches the keys that were read before the deadline of all reads (R2.2)", async () => {
    const logs = collectLogs();
    const { cache } = instrumentCache({ read: (index) => (index === 2 ? undefined : "hang") });
    const started = Date.now();
    const response = await sendWith(
      { RESOURCE_CACHE: cache, LOOKUP_DEADLINE_MS: "300" },
      { resources: row(400) },
    );
    expect(Date.now() - started).toBeLessThan(3_000);
    expect(response.status).toBe(201);
    expect(warningsOf(response)).toEqual([expect.stringMatching(/could not look up 300 files/)]);
    const paths = await matchedPaths(response);
    expect(paths).toContain("src/200.js");
    expect(paths).toHaveLength(10);
    expect(logs).toContainEqual(
      expect.objectContaining({ causes: ["DeadlineExceeded: no response within 300 ms"] }),
    );
  });

  it("matches nothing if all key reads fail", async () => {
    collectLogs();
    const { cache } = instrumentCache({ read: () => "fail" });
    const response = await sendWith({ RESOURCE_CACHE: cache }, { resources: row(5000) });
    expect(response.status).toBe(201);
    expect(await matchedPaths(response)).toEqual([]);
    expect(warningsOf(response)).toEqual([expect.stringMatching(/5000 files/)]);
  });

  it("sends no warning if no read of KV fails", async () => {
    const response = await sendWith({}, { resources: row(10) });
    expect(response.headers.has("X-Cf-Warnings")).toBe(false);
  });

  it("returns 201 if the rate limiter and METRICS fail (R2.3)", async () => {
    const logs = collectLogs();
    const limit = () => Promise.reject(new Error("limiter down"));
    const writeDataPoint = () => {
      throw new Error("dataset down");
    };
    const degraded = { RATE_LIMITER: { limit }, METRICS: { writeDataPoint } };
    expect((await sendWith(degraded, { resources: row(1) })).status).toBe(201);
    expect(logs.map(({ event }) => event)).toContain("rate-limiter-unavailable");
    expect(logs.map(({ event }) => event)).toContain("metrics-unavailable");
  });
});

describe("a key", () => {
  it.each(["", "0", "2", "null", '{"size":1}'])("does not match a key with the value %j", async (value) => {
    await env.RESOURCE_CACHE.put(`${resource(7).checksum.value}:8`, value);
    expect(await matchedPaths(await sendWith({}, { resources: [resource(7)] }))).toEqual([]);
  });
});
