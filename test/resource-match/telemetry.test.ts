import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Contents } from "../../src/cache/contents.ts";
import { LastHour } from "../../src/observability/last-hour.ts";
import { COLUMNS } from "../../src/observability/metrics.ts";
import { instrumentCache } from "../support/cache.ts";
import { collectLogs } from "../support/logs.ts";
import { minimalManifest } from "../support/manifest.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { collectPoints } from "../support/points.ts";
import { signToken } from "../support/tokens.ts";
import { fillCache, resource, sendWith } from "../support/worker.ts";

const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));
const WAIT_MS = 30;

let logs: Record<string, unknown>[];
let { points, METRICS } = collectPoints();
const matched = () => logs.filter(({ event }) => event === "matched");

beforeEach(() => {
  logs = collectLogs();
  ({ points, METRICS } = collectPoints());
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("a response", () => {
  it("logs how many resources each tier looked up and matched, bytes and times", async () => {
    await fillCache(resource(0), resource(1));
    fakeCloudController(respondWithMatches(({ size_in_bytes }) => size_in_bytes === 3));
    const resources = [
      resource(0),
      resource(0, { path: "same" }),
      ...row(4).slice(1),
      resource(4, { mode: "0" }),
    ];
    await sendWith({ CLOUD_CONTROLLER_URL }, { resources });
    expect(matched()).toEqual([
      expect.objectContaining({
        level: "log",
        identified: false,
        resources: 6,
        eligible: 5,
        matched: 4,
        // The first one twice, because two files are not uploaded.
        bytes: 1 + 1 + 2 + 3,
        tiers: {
          memory: { requested: 5, matched: 0, ms: expect.any(Number) },
          keys: { requested: 4, matched: 2, ms: expect.any(Number) },
          origin: { requested: 2, matched: 1, ms: expect.any(Number) },
        },
        decided: 0,
        verified: 0,
        rejected: 0,
        warnings: 0,
        ms: {
          total: expect.any(Number),
          body: expect.any(Number),
          token: expect.any(Number),
          pushSessions: expect.any(Number),
        },
      }),
    ]);
  });

  it("adds a Server-Timing header with times that do not overlap", async () => {
    const slowly = <T>(work: T | Promise<T>) => scheduler.wait(WAIT_MS).then(() => work);
    const RESOURCE_CACHE = {
      put: () => {},
      delete: () => {},
      get: async (names: string | string[]) =>
        slowly(Array.isArray(names) ? new Map() : JSON.stringify(minimalManifest())),
    };
    fakeCloudController((request) => slowly(respondWithMatches(() => true)(request)));
    const response = await sendWith({ RESOURCE_CACHE, CLOUD_CONTROLLER_URL }, { resources: row(1500) });
    expect(matched()).toEqual([expect.objectContaining({ matched: 1500, bytes: (1500 * 1501) / 2 })]);
    const header = response.headers.get("Server-Timing") ?? "";
    expect(header).toMatch(/^[a-z-]+;dur=\d+(, [a-z-]+;dur=\d+)*$/);
    const timing: Record<string, string> = Object.fromEntries(
      header.split(", ").map((each) => each.split(";dur=")),
    );
    const names = ["body", "token", "memory", "keys", "origin", "push-sessions", "total"];
    expect(Object.keys(timing)).toEqual(names);
    const { total, ...waits } = timing;
    // The manifest is read while the token is verified.
    const early = Number(waits.body) + Number(waits.token) + Number(waits.memory);
    for (const ms of [early, Number(waits.keys), Number(waits.origin)]) {
      expect(ms).toBeGreaterThanOrEqual(WAIT_MS - 2);
    }
    const sum = Object.values(waits).reduce((all, ms) => all + Number(ms), 0);
    expect(Number(total)).toBeGreaterThanOrEqual(sum);
  });

  it("counts the keys that were read, also if the read failed, and the warnings", async () => {
    await fillCache();
    const { cache } = instrumentCache({ read: () => "fail" });
    await sendWith({ RESOURCE_CACHE: cache, METRICS }, { resources: row(150) });
    expect(matched()).toEqual([expect.objectContaining({ warnings: 1 })]);
    expect(points).toEqual([expect.objectContaining({ keys_read: 150, warnings: 1, matched: 0 })]);
  });

  it("writes a point to METRICS, with the name of the foundation", async () => {
    await fillCache(resource(1));
    await sendWith({ METRICS }, { resources: row(3) });
    expect(points).toEqual([
      expect.objectContaining({
        event: "resource_matches",
        foundation: "uaa.example.com",
        outcome: "answered",
        status: 201,
        resources: 3,
        eligible: 3,
        matched: 1,
        bytes_matched: 2,
        keys_read: 3,
        keys_matched: 1,
      }),
    ]);
    expect(matched()).toEqual([
      expect.objectContaining({ ms: expect.objectContaining({ total: points[0]?.total_ms }) }),
    ]);
  });
});

describe("the METRICS point of a failure", () => {
  const reader = () => signToken({ scope: ["cloud_controller.read"] });
  it.each([
    ["parse-error", 400, {}, "{", {}],
    ["not-authenticated", 401, {}, undefined, { token: null }],
    ["invalid-token", 401, {}, undefined, { token: "garbage" }],
    ["not-authorized", 403, {}, undefined, { token: reader }],
    ["app-bits-upload-disabled", 403, { FEATURE_APP_BITS_UPLOAD: "false" }, undefined, {}],
    ["body-too-large", 413, {}, " ".repeat(15 * 1024 * 1024 + 1), {}],
    ["unprocessable", 422, {}, "{}", {}],
    ["rate-limited", 429, { RATE_LIMITER: { limit: async () => ({ success: false }) } }, undefined, {}],
    ["uaa-unavailable", 503, { UAA_URL: "https://down.example.com" }, undefined, {}],
  ] as const)(
    "writes one point to METRICS for %s, %i",
    async (outcome, status, bindings, body, { token }: { token?: unknown }) => {
      const response = await sendWith({ METRICS, ...bindings }, body ?? { resources: row(1) }, {
        token: (typeof token === "function" ? await token() : token) as string,
      });
      expect(response.status).toBe(status);
      expect(points).toEqual([expect.objectContaining({ outcome, status, resources: 0, matched: 0 })]);
      expect(points[0]?.total_ms).toBeGreaterThanOrEqual(0);
    },
  );

  it("writes one point to METRICS for a bug: unexpected, 500", async () => {
    vi.spyOn(Contents.prototype, "folded").mockImplementation(() => {
      throw new TypeError("a bug");
    });
    expect((await sendWith({ METRICS }, { resources: row(1) })).status).toBe(500);
    expect(points).toEqual([expect.objectContaining({ outcome: "unexpected", status: 500 })]);
    expect(logs).toContainEqual(expect.objectContaining({ event: "unexpected", cause: "TypeError: a bug" }));
  });

  it("writes one point to METRICS for a refusal of the Cloud Controller: relayed, 409", async () => {
    fakeCloudController(() =>
      Response.json({ errors: [{ detail: "x", title: "CF-x", code: 1 }] }, { status: 409 }),
    );
    await sendWith({ CLOUD_CONTROLLER_URL, METRICS }, { resources: row(1) });
    expect(points).toEqual([expect.objectContaining({ outcome: "relayed", status: 409 })]);
    const relayed = expect.objectContaining({ event: "relayed", level: "log", status: 409 });
    expect(logs).toEqual([relayed]);
    expect(logs[0]).toMatchObject({ ms: { total: points[0]?.total_ms }, requestId: expect.any(String) });
  });

  it("writes no point to METRICS for a request to another endpoint", async () => {
    await sendWith({ METRICS }, undefined, { method: "GET" });
    await sendWith({ METRICS }, undefined, {
      method: "GET",
      url: "https://api.example.com/v3/resource_matches/cache",
    });
    expect(points).toEqual([]);
  });
});

it("writes at most 20 blobs and 20 doubles in a METRICS point, with distinct names", () => {
  for (const { blobs, doubles } of Object.values(COLUMNS)) {
    const names = [...blobs, ...doubles];
    expect(blobs.length).toBeLessThanOrEqual(20);
    expect(doubles.length).toBeLessThanOrEqual(20);
    expect(new Set(names).size).toBe(names.length);
  }
});

describe("a bug in telemetry", () => {
  const outOfOrder = (): never => {
    throw new Error("out of order");
  };
  const set = Headers.prototype.set;

  it.each<[string, () => unknown]>([
    ["the measurements", () => vi.spyOn(Contents.prototype, "bytesOf").mockImplementation(outOfOrder)],
    ["the log", () => vi.spyOn(console, "log").mockImplementation(outOfOrder)],
    ["the last hour", () => vi.spyOn(LastHour.prototype, "count").mockImplementation(outOfOrder)],
    [
      "Server-Timing",
      () =>
        vi.spyOn(Headers.prototype, "set").mockImplementation(function (this: Headers, name, value) {
          return name === "Server-Timing" ? outOfOrder() : set.call(this, name, value);
        }),
    ],
  ])("returns 201 and logs telemetry-failed after an error in %s (R2.3)", async (_, breakIt) => {
    await fillCache(resource(0));
    breakIt();
    const response = await sendWith({ METRICS }, { resources: row(2) });
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({ resources: [resource(0)] });
    expect(logs).toContainEqual(
      expect.objectContaining({ level: "error", event: "telemetry-failed", cause: "Error: out of order" }),
    );
    // It must not look like a refusal of the Cloud Controller.
    expect(logs).not.toContainEqual(expect.objectContaining({ event: "relayed" }));
    expect(points).not.toContainEqual(expect.objectContaining({ outcome: "relayed" }));
  });
});
