import { reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MATCH, NO_MATCH, REJECTED, REMOVED } from "../../src/push-sessions/decisions.ts";
import type { PushSessions } from "../../src/push-sessions/push-sessions.ts";
import { cacheWithoutKeys } from "../support/cache.ts";
import { report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { signToken } from "../support/tokens.ts";
import { keyOf, matchedPaths, resource, type SentResource, sendWithEnv } from "../support/worker.ts";

const USER = "6d0e3b0e-93f2-4d0a-9e0c-0c1ad5c0a001";
const NEW_CF = "cf/8.18.4+cf2a5b5.2026-11-01 (go1.26.1; amd64 linux)";
const OLD_CF = "cf/8.11.0+cf2a5b5.2025-01-10 (go1.23.4; amd64 linux)";
const MINUTE_MS = 60_000;

const rows = (count: number, from = 0) => Array.from({ length: count }, (_, index) => resource(from + index));
const object = () => env.PUSH_SESSIONS.getByName(USER);
const traceId = () => crypto.randomUUID().replaceAll("-", "");

interface Run {
  /** The trace id; each run of cf has its own. */
  trace?: string;
  userAgent?: string;
  /** The env object: requests with the same one reach the same isolate. */
  isolate?: object;
}

/** Sends a request as cf does, by default to a new isolate. */
async function send(resources: SentResource[], { trace, userAgent = NEW_CF, isolate = {} }: Run) {
  const token = await signToken({ user_id: USER });
  const headers = {
    "User-Agent": userAgent,
    "X-B3-TraceId": trace ?? traceId(),
    "X-B3-SpanId": "0123456789abcdef",
  };
  const bindings =
    "RESOURCE_CACHE" in isolate ? isolate : { ...env, RESOURCE_CACHE: cacheWithoutKeys, ...isolate };
  return sendWithEnv(bindings, { resources }, { token, headers });
}
const pathsOf = async (resources: SentResource[], run: Run) => matchedPaths(await send(resources, run));

/** Reports to the catalog and publishes: every isolate that starts after this has the observations in its delta. */
async function publish(observations: Parameters<typeof report>[0]): Promise<void> {
  await report({ ...observations, asOf: Date.now() + 1 });
  advanceClock(20_000);
  await runAlarm();
}

/** Bindings that record the methods that are called on the object. */
function recordCalls(calls: string[], namespace = env.PUSH_SESSIONS) {
  const getByName = (name: string) =>
    new Proxy(namespace.getByName(name), {
      get:
        (stub, method: "inspect") =>
        (...parameters: Parameters<typeof stub.inspect>) => {
          calls.push(method);
          return stub[method](...parameters);
        },
    });
  return { PUSH_SESSIONS: { getByName } };
}

const contents = (...bytes: number[]) => Uint8Array.from(bytes.flatMap((byte) => Array(8).fill(byte)));
const marks = (...values: number[]) => Uint8Array.from(values);
const decisionsOf = async (decision: ReturnType<PushSessions["decide"]>) => {
  const reply = await decision;
  return "decisions" in reply ? [...reply.decisions] : reply;
};
/** Resets the object: it keeps only what it has stored. */
const resetObject = () => runInDurableObject(object(), (_, state) => state.abort("reset")).catch(() => {});

let logs: Record<string, unknown>[];
beforeEach(() => {
  logs = collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("one push", () => {
  it("keeps no match in the last request of a push after the file was added to the pool (R3.1)", async () => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1), keyOf(9_000)] });
    expect(await pathsOf([resource(1), resource(9_000)], run)).toEqual(["src/9000.js"]);
  });

  it("keeps a match in the last request of a push when KV fails (R3.1)", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual(["src/1.js", "src/2.js"]);
    const get = () => Promise.reject(new Error("KV GET failed: 503"));
    const isolate = { ...env, RESOURCE_CACHE: { get, put: get, delete: get } };
    expect(await pathsOf([resource(2, { path: "copy" }), resource(9_000)], { ...run, isolate })).toEqual([
      "copy",
    ]);
  });

  it("keeps a match of a push after the removal of the file was published, so that no file is lost silently (R3.1)", async () => {
    await publish({ present: [keyOf(1)] });
    const run = { trace: traceId() };
    await pathsOf(rows(5_000), run);
    await publish({ removed: [resource(1).checksum.value] });
    advanceClock(4 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });

  it("keeps the first decision when a second request of 5,000 resources disagrees (R3.1)", async () => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1), keyOf(6_000)] });
    expect(await pathsOf([resource(1), ...rows(4_999, 6_000)], run)).toEqual(["src/6000.js"]);
    expect(await pathsOf([resource(1), resource(6_000)], run)).toEqual(["src/6000.js"]);
  });

  it("keeps no match after the Cloud Controller timed out in the first request of a push (R3.1)", async () => {
    const hasAll = respondWithMatches(() => true);
    let isSilent = true;
    fakeCloudController((request) => (isSilent ? new Promise(() => {}) : hasAll(request)));
    const run = { trace: traceId() };
    const slow = { CLOUD_CONTROLLER_URL, LOOKUP_DEADLINE_MS: "100" };
    expect(await pathsOf(rows(5_000), { ...run, isolate: slow })).toEqual([]);
    isSilent = false;
    const last = [resource(1), resource(9_000)];
    expect(await pathsOf(last, { ...run, isolate: { CLOUD_CONTROLLER_URL } })).toEqual(["src/9000.js"]);
  });

  it("stores no match for a candidate whose mode rules it out (R3.1)", async () => {
    await publish({ present: [keyOf(1)] });
    const run = { trace: traceId(), isolate: { MINIMUM_FILE_MODE: "0600" } };
    expect(await pathsOf([resource(1, { mode: "0444" }), ...rows(4_999, 2)], run)).toEqual([]);
    expect(await pathsOf([resource(1)], run)).toEqual([]);
  });

  it("adds missing mode bits to a file that the push matched before, and warns (R1.8, R3.1)", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { trace: traceId(), isolate: { MINIMUM_FILE_MODE: "0600" } };
    await pathsOf(rows(5_000), run);
    const copies = ["0444", "100444", "44"].map((mode) => resource(1, { mode }));
    const response = await send([...copies, resource(2)], run);
    const { resources } = await response.clone().json<{ resources: SentResource[] }>();
    expect(resources.map(({ mode }) => mode)).toEqual(["0644", "100644", "644", "644"]);
  });

  it.each<[string, Partial<SentResource>[], string]>([
    ["one file", [{ path: "a.js" }], "1 file got the permissions … before: a.js."],
    [
      "the first three of 1,002 files",
      [{ path: "a,b.js" }, { path: "c d.js" }, ...Array(1_000).fill({ path: "é" })],
      "1,002 files got the permissions … before: a,b.js, c d.js, é and 999 more.",
    ],
    ["no resource without a path", [{ path: null }, {}], "2 files got the permissions … before."],
    [
      "paths without control characters and lone surrogates, and only the end of a long path",
      [{ path: "\x1b[2Jred\r\n\u2028\u202e" }, { path: "\ud800x" }, { path: "😀/".repeat(9_000) }],
      `3 files got the permissions … before: �[2Jred����, �x, …�/${"😀/".repeat(26)}.`,
    ],
  ])("names %s in the warning that the push added mode bits", async (_, copies, expected) => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { trace: traceId(), isolate: { MINIMUM_FILE_MODE: "0600" } };
    await pathsOf(rows(5_000), run);
    const { checksum, size_in_bytes } = resource(1);
    const requested = copies.map((copy) => ({ checksum, size_in_bytes, mode: "444", ...copy }));
    const response = await send([...requested, resource(2)], run);
    const header = response.headers.get("X-Cf-Warnings") ?? "";
    // cf CLI splits the header at commas.
    const warning = decodeURIComponent(header.split(",")[0] ?? "");
    const reason = "that the platform requires, because this push matched the same content";
    expect(warning).toBe(expected.replace("…", reason));
    expect(header.length).toBeLessThan(4_096);
  });

  it("sends no warning about modes when no matched file lacks mode bits", async () => {
    await publish({ present: [keyOf(2)] });
    const run = { trace: traceId(), isolate: { MINIMUM_FILE_MODE: "0600" } };
    await pathsOf(rows(5_000), run);
    const response = await send([resource(1, { mode: "0444" }), resource(2)], run);
    expect(response.headers.has("X-Cf-Warnings")).toBe(false);
  });

  it.each([
    ["keeps matches when matching is switched off during a push", "true", "false", ["copy"]],
    ["keeps no match when matching is switched on during a push", "false", "true", []],
  ])("%s (R3.1)", async (_, first, last, expected) => {
    await publish({ present: [keyOf(1)] });
    const run = { trace: traceId() };
    const withFeature = (value: string) => ({ ...run, isolate: { FEATURE_RESOURCE_MATCHING: value } });
    await pathsOf(rows(5_000), withFeature(first));
    expect(await pathsOf([resource(1, { path: "copy" })], withFeature(last))).toEqual(expected);
  });

  it.each([8, 29])("keeps the decisions of a push that takes %i minutes (R3.5)", async (minutes) => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    for (let minute = 4; minute <= minutes; minute += 4) {
      advanceClock(4 * MINUTE_MS);
      expect(await pathsOf([resource(1), ...rows(4_999, 10_000 * minute)], run)).toEqual([]);
    }
    expect(await pathsOf([resource(1)], run)).toEqual([]);
  });

  it("ends a session that is older than 30 minutes only in a pause of three minutes (R3.5)", async () => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    for (let request = 1; request <= 12; request++) {
      advanceClock(2.9 * MINUTE_MS);
      expect(await pathsOf([resource(1), ...rows(4_999, 10_000 * request)], run)).toEqual([]);
    }
    advanceClock(3.1 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });
});

describe("two pushes", () => {
  it("matches in the next run of cf the files that the previous one uploaded", async () => {
    const app = [rows(5_000), [resource(6_000)]];
    const first = { trace: traceId() };
    for (const request of app) expect(await pathsOf(request, first)).toEqual([]);
    await publish({ present: Array.from({ length: 5_000 }, (_, index) => keyOf(index)) });
    expect(await pathsOf(rows(5_000), { trace: traceId() })).toHaveLength(5_000);
  });

  it("does not match a removed file in another push of the caller (R1.1)", async () => {
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf(rows(5_000), {})).toEqual(["src/1.js"]);
    await publish({ removed: [resource(1).checksum.value] });
    expect(await pathsOf([resource(1)], {})).toEqual([]);
  });

  it("separates the decisions of two concurrent pushes of one user (R3.1)", async () => {
    const [early, late] = [{ trace: traceId() }, { trace: traceId() }];
    expect(await pathsOf(rows(5_000), early)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1), ...rows(4_999, 7_000)], late)).toEqual(["src/1.js"]);
    expect(await pathsOf([resource(1)], early)).toEqual([]);
    expect(await pathsOf([resource(1)], late)).toEqual(["src/1.js"]);
  });

  it("stores no decisions of a request of fewer than 5,000 resources", async () => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(4_999), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });
});

describe("the session of unidentified requests", () => {
  it.each<[string, Run]>([
    ["of cf CLI before 8.12 whose trace ids a proxy added", { userAgent: OLD_CF }],
    ["of another client", { userAgent: "Go-http-client/1.1" }],
    ["of cf CLI whose trace id is not 32 hex digits", { trace: "my-trace" }],
  ])("shares decisions between the unidentified requests %s, for five minutes (R3.2)", async (_, run) => {
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1)], run)).toEqual([]);
    advanceClock(5 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });

  it("does not extend an unidentified session by a request of fewer than 5,000 resources (R3.2)", async () => {
    const run = { userAgent: OLD_CF };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    advanceClock(3 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual([]);
    advanceClock(2 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });

  it("changes an unidentified match that is older than three minutes to no match when the file was removed (R3.2)", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { userAgent: OLD_CF };
    expect(await pathsOf(rows(5_000), run)).toEqual(["src/1.js", "src/2.js"]);
    await publish({ removed: [resource(1).checksum.value] });
    expect(await pathsOf(rows(3), run)).toEqual(["src/1.js", "src/2.js"]);
    advanceClock(3 * MINUTE_MS);
    expect(await pathsOf(rows(3), run)).toEqual(["src/2.js"]);
    expect(await pathsOf([...rows(4_999), resource(6_000)], run)).toEqual(["src/2.js"]);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf(rows(3), run)).toEqual(["src/2.js"]);
  });

  it("changes an unidentified match to no match when the Cloud Controller does not match it later (R3.2)", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { userAgent: OLD_CF };
    expect(await pathsOf(rows(5_000), run)).toEqual(["src/1.js", "src/2.js"]);
    fakeCloudController(respondWithMatches(({ checksum }) => checksum.value === resource(2).checksum.value));
    // Without a manifest the isolate requests all files from the Cloud Controller.
    const get = async (names: string | string[]) => (Array.isArray(names) ? new Map() : null);
    const isolate = { ...env, CLOUD_CONTROLLER_URL, RESOURCE_CACHE: { get, put: get, delete: get } };
    expect(await pathsOf(rows(3), { ...run, isolate })).toEqual(["src/2.js"]);
  });

  it("keeps an unidentified match when a Cloud Controller with matching disabled matches nothing (R3.2)", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { userAgent: OLD_CF };
    expect(await pathsOf(rows(5_000), run)).toEqual(["src/1.js", "src/2.js"]);
    fakeCloudController(respondWithMatches(() => false));
    const get = async (names: string | string[]) => (Array.isArray(names) ? new Map() : null);
    const isolate = { ...env, CLOUD_CONTROLLER_URL, RESOURCE_CACHE: { get, put: get, delete: get } };
    expect(await pathsOf(rows(3), { ...run, isolate })).toEqual(["src/1.js", "src/2.js"]);
  });

  it("treats a pinned trace id as unidentified once it repeats a request, and keeps its decisions (R3.2)", async () => {
    await publish({ present: [keyOf(1)] });
    const pinned = { trace: "0".repeat(32) };
    expect(await pathsOf(rows(5_000), pinned)).toEqual(["src/1.js"]);
    await publish({ removed: [resource(1).checksum.value] });
    advanceClock(3 * MINUTE_MS);
    expect(await pathsOf([resource(1)], pinned)).toEqual(["src/1.js"]);
    expect(await pathsOf(rows(5_000), pinned)).toEqual([]);
    expect(await pathsOf([resource(1)], pinned)).toEqual([]);
  });

  it.each([1, 5_000])(
    "ends the session of a pinned trace id before a request of %i in the isolate that keeps its decisions (R3.2)",
    async (count) => {
      const run = { trace: traceId(), isolate: { ...env, RESOURCE_CACHE: cacheWithoutKeys } };
      await send(rows(5_000), run);
      await send(rows(5_000), run);
      await publish({ present: [keyOf(1)] });
      advanceClock(6 * MINUTE_MS);
      expect(await pathsOf([resource(1), ...rows(count - 1, 6_000)], run)).toEqual(["src/1.js"]);
    },
  );
});

describe("a suspected retry", () => {
  const WITH_ORIGIN = { CLOUD_CONTROLLER_URL };

  it.each([
    ["a request of fewer than 5,000 resources", 10],
    ["a request of 5,000 resources", 5_000],
  ])(
    "verifies the matches of the cache before the response to a suspected retry: %s (R1.7)",
    async (_, count) => {
      await publish({ present: [keyOf(1), keyOf(2)] });
      fakeCloudController(
        respondWithMatches(({ checksum }) => checksum.value !== resource(1).checksum.value),
      );
      const known = count === 10 ? rows(3, 1) : rows(count);
      const isolate = { ...WITH_ORIGIN, FEATURE_RESOURCE_MATCHING: "true" };
      expect(await pathsOf(known, { isolate })).toContain("src/1.js");
      expect(await pathsOf(known, { isolate })).not.toContain("src/1.js");
      expect(await pathsOf(known, { isolate })).toContain("src/2.js");
    },
  );

  it("changes a match of an unidentified session only if it was rejected (R3.2)", async () => {
    const [found, first] = [marks(MATCH, MATCH), "first"];
    await object().decide("", "f", first, contents(1, 2), found, true);
    const second = object().decide("", "f", "second", contents(1, 2), marks(REJECTED, NO_MATCH), true);
    expect(await decisionsOf(second)).toEqual([NO_MATCH, MATCH]);
  });

  it("changes a match that the look-up of an unidentified retry rejects, without a second request (R1.7, R3.2)", async () => {
    await publish({ present: [keyOf(1)] });
    const run = { userAgent: OLD_CF };
    await pathsOf(rows(5_000), run);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
    const get = () => Promise.reject(new Error("KV GET failed: 503"));
    const isolate = { ...env, ...WITH_ORIGIN, RESOURCE_CACHE: { get, put: get, delete: get } };
    const requests = fakeCloudController(respondWithMatches(() => false));
    expect(await pathsOf([resource(1)], { ...run, isolate })).toEqual([]);
    expect(requests).toHaveLength(1);
  });

  it("does not verify matches that an earlier request of an identified push decided (R3.1)", async () => {
    await publish({ present: [keyOf(1)] });
    const requests = fakeCloudController(respondWithMatches(() => false));
    const isolate = { ...WITH_ORIGIN, FEATURE_RESOURCE_MATCHING: "true" };
    const last = [resource(1, { path: "copy" })];
    await pathsOf(last, { isolate });
    const run = { trace: traceId(), isolate };
    expect(await pathsOf(rows(5_000), run)).toContain("src/1.js");
    const before = requests.length;
    expect(await pathsOf(last, run)).toEqual(["copy"]);
    // The sample after the response.
    expect(requests.length - before).toBe(1);
  });

  it("suspects a retry only if contents and paths are the same, not for another app with the same contents (R1.7)", async () => {
    await publish({ present: [keyOf(1)] });
    const requests = fakeCloudController(respondWithMatches(() => true));
    const isolate = { ...WITH_ORIGIN };
    const verified = () =>
      logs.filter(({ event, verified: count }) => event === "matched" && count !== 0).length;
    await pathsOf([resource(1, { path: "one" })], { isolate });
    await pathsOf([resource(1, { path: "another" })], { isolate });
    expect(verified()).toBe(0);
    await pathsOf([resource(1, { path: "one" })], { isolate });
    expect(verified()).toBe(1);
    advanceClock(10 * MINUTE_MS + 1);
    await pathsOf([resource(1, { path: "one" })], { isolate });
    expect(verified()).toBe(1);
    expect(requests.length).toBeGreaterThan(0);
  });
});

describe("the calls of the object", () => {
  it.each<[string, SentResource[], object, string[]]>([
    ["nothing, without a candidate", rows(5_000), { MINIMUM_SIZE: "10000" }, []],
    ["one inspection, with fewer than 5,000 resources", rows(4_999), {}, ["inspect"]],
    ["one decision, with 5,000 resources", rows(5_000), {}, ["decide"]],
  ])("calls the session object for %s", async (_, resources, variables, expected) => {
    const calls: string[] = [];
    await send(resources, { isolate: { ...recordCalls(calls), ...variables } });
    expect(calls).toEqual(expected);
  });

  it("calls the session object twice only if a retry is suspected and a Cloud Controller is configured (R1.7)", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const calls: string[] = [];
    const isolate = { ...recordCalls(calls), CLOUD_CONTROLLER_URL };
    await send(rows(5_000), { isolate });
    expect(calls.splice(0)).toEqual(["decide"]);
    await send(rows(5_000), { isolate });
    expect(calls.splice(0)).toEqual(["decide", "decide"]);
    await send(rows(5_000), { isolate: recordCalls(calls) });
    expect(calls).toEqual(["decide"]);
  });
});

describe("a repeated call", () => {
  it("returns the decisions of the first call to a repeated call after the session object was reset (R3.4)", async () => {
    const call = (requestId: string, ...found: number[]) =>
      object().decide("push", `of ${requestId}`, requestId, contents(1, 2), marks(...found), false);
    expect(await decisionsOf(call("first", MATCH, NO_MATCH))).toEqual([MATCH, NO_MATCH]);
    await resetObject();
    expect(await decisionsOf(call("first", MATCH, NO_MATCH))).toEqual([MATCH, NO_MATCH]);
    expect(await decisionsOf(call("second", NO_MATCH, MATCH))).toEqual([MATCH, NO_MATCH]);
  });

  it("does not suspect a retry in a repeated call (R3.4)", async () => {
    const inspect = (requestId: string) => object().inspect("push", "fingerprint", requestId);
    expect(await inspect("first")).toMatchObject({ retrySuspected: false });
    expect(await inspect("first")).toMatchObject({ retrySuspected: false });
    expect(await inspect("second")).toMatchObject({ retrySuspected: true });
    expect(await inspect("first")).toMatchObject({ retrySuspected: false });
    expect(await inspect("second")).toMatchObject({ retrySuspected: true });
  });

  it("keeps no match if a call or its repetition found none, in any order (R3.4)", async () => {
    const call = (found: number) => object().decide("push", "f", "first", contents(1), marks(found), true);
    expect(await decisionsOf(call(MATCH))).toEqual([MATCH]);
    expect(await decisionsOf(call(NO_MATCH))).toEqual([NO_MATCH]);
    expect(await decisionsOf(call(MATCH))).toEqual([NO_MATCH]);
  });

  it("decides nothing while a retry is suspected and not verified (R1.7)", async () => {
    const call = (requestId: string, found: number, isVerified: boolean) =>
      object().decide(`push ${requestId}`, "f", requestId, contents(1), marks(found), isVerified);
    await call("first", MATCH, true);
    expect(await call("second", MATCH, false)).toMatchObject({ retrySuspected: true });
    expect(await decisionsOf(call("second", REJECTED, true))).toEqual([NO_MATCH]);
  });

  it("keeps a match of an identified session if a later request finds it removed, rejected or missing (R3.1)", async () => {
    const call = (requestId: string, found: number) =>
      object().decide("push", requestId, requestId, contents(1), marks(found), true);
    await call("first", MATCH);
    advanceClock(4 * MINUTE_MS);
    for (const found of [REMOVED, REJECTED, NO_MATCH]) {
      expect(await decisionsOf(call(`found ${found}`, found))).toEqual([MATCH]);
    }
  });
});

describe("an unreachable object", () => {
  const unreachable = (call: () => Promise<unknown>) => ({
    ...env,
    RESOURCE_CACHE: cacheWithoutKeys,
    PUSH_SESSIONS: { getByName: () => ({ inspect: call, decide: call }) },
  });

  it.each<[string, () => Promise<unknown>]>([
    ["fails", () => Promise.reject(new Error("the object was reset"))],
    ["hangs", () => new Promise(() => {})],
  ])(
    "uses the decisions of the isolate if the session object %s, and logs a possible loss (R2.1, R3.6)",
    async (_, call) => {
      const run = { trace: traceId(), isolate: unreachable(call) };
      expect(await pathsOf(rows(5_000), run)).toEqual([]);
      expect(logs).toContainEqual(
        expect.objectContaining({ event: "push-sessions-unreachable", method: "decide", mayLoseFile: true }),
      );
      await publish({ present: [keyOf(1), keyOf(9_000)] });
      advanceClock(MINUTE_MS);
      expect(await pathsOf([resource(1), resource(9_000)], run)).toEqual(["src/9000.js"]);
    },
  );

  it("sends the decisions of the isolate to the session object once that is reachable again (R3.6)", async () => {
    let isReachable = false;
    const getByName = (name: string) => {
      if (!isReachable) throw new Error("the object is overloaded");
      return env.PUSH_SESSIONS.getByName(name);
    };
    const isolate = { ...env, RESOURCE_CACHE: cacheWithoutKeys, PUSH_SESSIONS: { getByName } };
    const run = { trace: traceId(), isolate };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    advanceClock(MINUTE_MS);
    isReachable = true;
    expect(await pathsOf([resource(1), ...rows(4_999, 6_000)], run)).toEqual([]);
    // Another isolate.
    expect(await pathsOf([resource(1)], { trace: run.trace })).toEqual([]);
  });

  it("retries the call of the session object for up to two seconds (R3.6)", async () => {
    const start = Date.now();
    const getByName = (name: string) => {
      if (Date.now() - start < 600) throw new Error("the object was reset");
      return env.PUSH_SESSIONS.getByName(name);
    };
    const run = { trace: traceId(), isolate: { PUSH_SESSIONS: { getByName } } };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    expect(logs.map(({ event }) => event)).not.toContain("push-sessions-unreachable");
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1)], { trace: run.trace })).toEqual([]);
  });

  it.each([
    ["a request of 3 gets batches of another form", 3, { session: { batches: [{}] } }],
    ["a request of 3 gets no session", 3, {}],
    ["a request of 5,000 gets batches of another form", 5_000, { session: { batches: [{}] } }],
    ["a request of 5,000 gets decisions of other contents", 5_000, { decisions: marks(MATCH) }],
  ])(
    "returns 201 if the session object runs another version of the Worker: %s (R2.1)",
    async (_, count, reply) => {
      const call = async () => ({ retrySuspected: false, ...reply });
      expect((await send(rows(count), { isolate: unreachable(call) })).status).toBe(201);
      expect(logs).toContainEqual(
        expect.objectContaining({ event: "push-sessions-unreachable", cause: expect.any(String) }),
      );
    },
  );
});

describe("the storage of the object", () => {
  const count = (table: string) =>
    runInDurableObject(object(), (_, { storage: { sql } }) => {
      const exists = sql.exec("SELECT 1 FROM sqlite_master WHERE name = ?", table).toArray().length > 0;
      return exists ? sql.exec(`SELECT * FROM ${table}`).toArray().length : 0;
    });

  it("stores the decisions for 5,000 resources before the reply, and a smaller request a second later (R3.3)", async () => {
    await object().inspect("push", "f", "a request");
    expect(await count("requests")).toBe(0);
    await vi.waitFor(async () => expect(await count("requests")).toBe(1), { timeout: 5_000 });
    await object().decide("push", "g", "another", contents(1), marks(MATCH), true);
    expect([await count("requests"), await count("decisions"), await count("sessions")]).toEqual([2, 1, 1]);
  });

  it("deletes all tables once all sessions have expired", async () => {
    await send(rows(5_000), {});
    advanceClock(10 * MINUTE_MS + 1);
    await runDurableObjectAlarm(object());
    expect([await count("requests"), await count("decisions"), await count("sessions")]).toEqual([0, 0, 0]);
    await send(rows(5_000), {});
    expect(await count("sessions")).toBe(1);
  });

  it("keeps sessions that have not expired when the alarm deletes others (R3.5)", async () => {
    const run = { trace: traceId() };
    await send(rows(5_000), {});
    advanceClock(9 * MINUTE_MS);
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    advanceClock(2 * MINUTE_MS);
    await runDurableObjectAlarm(object());
    expect(await count("sessions")).toBe(1);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1)], run)).toEqual([]);
  });

  it("stores the decisions of 90 requests of a session, and matches no content of later ones (R3.1)", async () => {
    const all = new Uint8Array(5_000).fill(MATCH);
    const random = () => crypto.getRandomValues(new Uint8Array(8 * 5_000));
    const decide = (pushId: string, name: string, batch: Uint8Array<ArrayBuffer>) =>
      decisionsOf(object().decide(pushId, name, name, batch, all.slice(0, batch.length / 8), true));
    const first = random();
    await decide("push", "0", first);
    for (let index = 1; index < 90; index++) {
      expect(new Set((await decide("push", `${index}`, random())) as number[])).toEqual(new Set([MATCH]));
    }
    const more = random();
    for (const name of ["90", "91"]) {
      expect(new Set((await decide("push", name, more)) as number[])).toEqual(new Set([NO_MATCH]));
    }
    expect(await decide("push", "92", first.slice(0, 16))).toEqual([MATCH, MATCH]);
    expect(await decide("push", "93", contents(1))).toEqual([NO_MATCH]);
    const { session } = await object().inspect("push", "last", "last");
    expect(session).toMatchObject({ isFull: true });
    expect(await decide("another push", "94", contents(1))).toEqual([MATCH]);
    expect(await object().decide("push", "95", "95", more.slice(0, 8), marks(MATCH), true)).toMatchObject({
      decidedEarlier: 0,
    });
    const bytes = await runInDurableObject(object(), (_, { storage }) => storage.sql.databaseSize);
    expect(bytes).toBeLessThan(5_000_000);
  });

  it("stores a rejection in an unidentified session that is full (R3.2)", async () => {
    const all = new Uint8Array(5_000).fill(MATCH);
    const random = () => crypto.getRandomValues(new Uint8Array(8 * 5_000));
    const decide = (name: string, batch: Uint8Array<ArrayBuffer>, found: Uint8Array) =>
      decisionsOf(object().decide("", name, name, batch, found, true));
    const first = random();
    await decide("0", first, all);
    for (let index = 1; index < 90; index++) await decide(`${index}`, random(), all);
    const content = first.slice(0, 8);
    expect(await decide("90", content, marks(REJECTED))).toEqual([NO_MATCH]);
    expect(await decide("91", content, marks(MATCH))).toEqual([NO_MATCH]);
  });
});
