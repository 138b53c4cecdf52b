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
  /** Each run of cf has its own. */
  trace?: string;
  userAgent?: string;
  /** As an isolate: the Worker keeps what it knows by it. */
  isolate?: object;
}

/** Sends a request as cf does, to an isolate of its own unless told otherwise. */
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

/** Tells the catalog, and has it publish that: every isolate that starts from now on knows. */
async function publish(observations: Parameters<typeof report>[0]): Promise<void> {
  await report({ ...observations, asOf: Date.now() + 1 });
  advanceClock(20_000);
  await runAlarm();
}

/** Calls of the object, by its method. */
function countedObject(calls: string[], namespace = env.PUSH_SESSIONS) {
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
/** Resets the object: what it knows from now on is what it has stored. */
const resetObject = () => runInDurableObject(object(), (_, state) => state.abort("reset")).catch(() => {});

let logs: Record<string, unknown>[];
beforeEach(() => {
  logs = collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("the requests of one push agree on a content", () => {
  it("keeps no match in the last request after the pool has got the file", async () => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1), keyOf(9_000)] });
    expect(await pathsOf([resource(1), resource(9_000)], run)).toEqual(["src/9000.js"]);
  });

  it("keeps a match in the last request when KV fails by then", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual(["src/1.js", "src/2.js"]);
    const get = () => Promise.reject(new Error("KV GET failed: 503"));
    const isolate = { ...env, RESOURCE_CACHE: { get, put: get, delete: get } };
    expect(await pathsOf([resource(2, { path: "copy" }), resource(9_000)], { ...run, isolate })).toEqual([
      "copy",
    ]);
  });

  it("keeps a match after the removal of the file was published: the push fails with a message, and loses no file", async () => {
    await publish({ present: [keyOf(1)] });
    const run = { trace: traceId() };
    await pathsOf(rows(5_000), run);
    await publish({ removed: [resource(1).checksum.value] });
    advanceClock(4 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });

  it("keeps the first decision when a second request of 5,000 disagrees", async () => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1), keyOf(6_000)] });
    expect(await pathsOf([resource(1), ...rows(4_999, 6_000)], run)).toEqual(["src/6000.js"]);
    expect(await pathsOf([resource(1), resource(6_000)], run)).toEqual(["src/6000.js"]);
  });

  it("keeps no match of a request that the Cloud Controller did not answer in time", async () => {
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

  it("records a candidate whose mode rules it out as no match", async () => {
    await publish({ present: [keyOf(1)] });
    const run = { trace: traceId(), isolate: { MINIMUM_FILE_MODE: "0600" } };
    expect(await pathsOf([resource(1, { mode: "0444" }), ...rows(4_999, 2)], run)).toEqual([]);
    expect(await pathsOf([resource(1)], run)).toEqual([]);
  });

  it("adds the bits that a mode lacks to a file that was matched before, with a warning", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { trace: traceId(), isolate: { MINIMUM_FILE_MODE: "0600" } };
    await pathsOf(rows(5_000), run);
    const copies = ["0444", "100444", "44"].map((mode) => resource(1, { mode }));
    const response = await send([...copies, resource(2)], run);
    const { resources } = await response.clone().json<{ resources: SentResource[] }>();
    expect(resources.map(({ mode }) => mode)).toEqual(["0644", "100644", "644", "644"]);
    expect(decodeURIComponent(response.headers.get("X-Cf-Warnings") ?? "")).toMatch(
      /mode that the platform takes/,
    );
  });

  it.each([
    ["keeps matches when matching is switched off during the push", "true", "false", ["copy"]],
    ["keeps no match when matching is switched on during the push", "false", "true", []],
  ])("%s", async (_, first, last, expected) => {
    await publish({ present: [keyOf(1)] });
    const run = { trace: traceId() };
    const withFeature = (value: string) => ({ ...run, isolate: { FEATURE_RESOURCE_MATCHING: value } });
    await pathsOf(rows(5_000), withFeature(first));
    expect(await pathsOf([resource(1, { path: "copy" })], withFeature(last))).toEqual(expected);
  });

  it.each([8, 29])("keeps decisions for a push that takes %i minutes", async (minutes) => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    for (let minute = 4; minute <= minutes; minute += 4) {
      advanceClock(4 * MINUTE_MS);
      expect(await pathsOf([resource(1), ...rows(4_999, 10_000 * minute)], run)).toEqual([]);
    }
    expect(await pathsOf([resource(1)], run)).toEqual([]);
  });

  it("does not end a session that is older than 30 minutes between two requests of an app", async () => {
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

describe("pushes do not influence each other", () => {
  it("matches in a second run of cf what the first one uploaded, right after it", async () => {
    const app = [rows(5_000), [resource(6_000)]];
    const first = { trace: traceId() };
    for (const request of app) expect(await pathsOf(request, first)).toEqual([]);
    await publish({ present: Array.from({ length: 5_000 }, (_, index) => keyOf(index)) });
    expect(await pathsOf(rows(5_000), { trace: traceId() })).toHaveLength(5_000);
  });

  it("does not match in another push of the caller what was removed", async () => {
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf(rows(5_000), {})).toEqual(["src/1.js"]);
    await publish({ removed: [resource(1).checksum.value] });
    expect(await pathsOf([resource(1)], {})).toEqual([]);
  });

  it("keeps the decisions of two pushes of one user that run at once apart", async () => {
    const [early, late] = [{ trace: traceId() }, { trace: traceId() }];
    expect(await pathsOf(rows(5_000), early)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1), ...rows(4_999, 7_000)], late)).toEqual(["src/1.js"]);
    expect(await pathsOf([resource(1)], early)).toEqual([]);
    expect(await pathsOf([resource(1)], late)).toEqual(["src/1.js"]);
  });

  it("decides nothing in a request of fewer than 5,000", async () => {
    const run = { trace: traceId() };
    expect(await pathsOf(rows(4_999), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });
});

describe("unidentified requests of a caller share a session", () => {
  it.each<[string, Run]>([
    ["of cf CLI before 8.12, although a proxy adds an id to each", { userAgent: OLD_CF }],
    ["of another client", { userAgent: "Go-http-client/1.1" }],
    ["of cf CLI whose trace id is no UUID", { trace: "my-trace" }],
  ])("%s", async (_, run) => {
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    expect(await pathsOf([resource(1)], run)).toEqual([]);
    advanceClock(5 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });

  it("is not kept alive by requests of fewer than 5,000", async () => {
    const run = { userAgent: OLD_CF };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    await publish({ present: [keyOf(1)] });
    advanceClock(3 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual([]);
    advanceClock(2 * MINUTE_MS);
    expect(await pathsOf([resource(1)], run)).toEqual(["src/1.js"]);
  });

  it("turns a match that is older than three minutes into no match when the file was removed", async () => {
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

  it("turns a match into no match when the Cloud Controller lacks the file in the look-up of a later request", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { userAgent: OLD_CF };
    expect(await pathsOf(rows(5_000), run)).toEqual(["src/1.js", "src/2.js"]);
    fakeCloudController(respondWithMatches(({ checksum }) => checksum.value === resource(2).checksum.value));
    // Without a manifest the isolate asks the Cloud Controller for everything.
    const get = async (names: string | string[]) => (Array.isArray(names) ? new Map() : null);
    const isolate = { ...env, CLOUD_CONTROLLER_URL, RESOURCE_CACHE: { get, put: get, delete: get } };
    expect(await pathsOf(rows(3), { ...run, isolate })).toEqual(["src/2.js"]);
  });

  it("keeps a match when a Cloud Controller whose matching is off denies everything", async () => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    const run = { userAgent: OLD_CF };
    expect(await pathsOf(rows(5_000), run)).toEqual(["src/1.js", "src/2.js"]);
    fakeCloudController(respondWithMatches(() => false));
    const get = async (names: string | string[]) => (Array.isArray(names) ? new Map() : null);
    const isolate = { ...env, CLOUD_CONTROLLER_URL, RESOURCE_CACHE: { get, put: get, delete: get } };
    expect(await pathsOf(rows(3), { ...run, isolate })).toEqual(["src/1.js", "src/2.js"]);
  });

  it("makes a pinned trace id one of them once it sends a request again, and keeps its decisions", async () => {
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
    "ends the session of a pinned trace id for a request of %i in the isolate that knows its decisions",
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

describe("a push that is tried again", () => {
  const WITH_ORIGIN = { CLOUD_CONTROLLER_URL };

  it.each([
    ["a request of fewer than 5,000", 10],
    ["a request of 5,000", 5_000],
  ])("verifies what the cache matches before it answers %s", async (_, count) => {
    await publish({ present: [keyOf(1), keyOf(2)] });
    fakeCloudController(respondWithMatches(({ checksum }) => checksum.value !== resource(1).checksum.value));
    const known = count === 10 ? rows(3, 1) : rows(count);
    const isolate = { ...WITH_ORIGIN, FEATURE_RESOURCE_MATCHING: "true" };
    expect(await pathsOf(known, { isolate })).toContain("src/1.js");
    expect(await pathsOf(known, { isolate })).not.toContain("src/1.js");
    expect(await pathsOf(known, { isolate })).toContain("src/2.js");
  });

  it("keeps an old client's match that the Cloud Controller does not answer for, and drops one that it rejects", async () => {
    const [found, first] = [marks(MATCH, MATCH), "first"];
    await object().decide("", "f", first, contents(1, 2), found, true);
    const second = object().decide("", "f", "second", contents(1, 2), marks(REJECTED, NO_MATCH), true);
    expect(await decisionsOf(second)).toEqual([NO_MATCH, MATCH]);
  });

  it("drops an old client's match that the Cloud Controller rejects in the look-up, and does not ask again", async () => {
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

  it("verifies nothing that an earlier request of an identified push decided", async () => {
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

  it("is known by its contents and paths: another app with the same contents is no retry", async () => {
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

describe("a request calls its object once", () => {
  it.each<[string, SentResource[], object, string[]]>([
    ["not at all without a candidate", rows(5_000), { MINIMUM_SIZE: "10000" }, []],
    ["to inspect, with fewer than 5,000", rows(4_999), {}, ["inspect"]],
    ["to decide, with 5,000", rows(5_000), {}, ["decide"]],
  ])("%s", async (_, resources, variables, expected) => {
    const calls: string[] = [];
    await send(resources, { isolate: { ...countedObject(calls), ...variables } });
    expect(calls).toEqual(expected);
  });

  it("decides a second time only if a retry is suspected and there is a Cloud Controller", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const calls: string[] = [];
    const isolate = { ...countedObject(calls), CLOUD_CONTROLLER_URL };
    await send(rows(5_000), { isolate });
    expect(calls.splice(0)).toEqual(["decide"]);
    await send(rows(5_000), { isolate });
    expect(calls.splice(0)).toEqual(["decide", "decide"]);
    await send(rows(5_000), { isolate: countedObject(calls) });
    expect(calls).toEqual(["decide"]);
  });
});

describe("a call that is repeated", () => {
  it("returns what the first one did, although its reply was lost and the object was reset", async () => {
    const call = (requestId: string, ...found: number[]) =>
      object().decide("push", `of ${requestId}`, requestId, contents(1, 2), marks(...found), false);
    expect(await decisionsOf(call("first", MATCH, NO_MATCH))).toEqual([MATCH, NO_MATCH]);
    await resetObject();
    expect(await decisionsOf(call("first", MATCH, NO_MATCH))).toEqual([MATCH, NO_MATCH]);
    expect(await decisionsOf(call("second", NO_MATCH, MATCH))).toEqual([MATCH, NO_MATCH]);
  });

  it("is no retry of itself", async () => {
    const inspect = (requestId: string) => object().inspect("push", "fingerprint", requestId);
    expect(await inspect("first")).toMatchObject({ retrySuspected: false });
    expect(await inspect("first")).toMatchObject({ retrySuspected: false });
    expect(await inspect("second")).toMatchObject({ retrySuspected: true });
    expect(await inspect("first")).toMatchObject({ retrySuspected: false });
    expect(await inspect("second")).toMatchObject({ retrySuspected: true });
  });

  it("may take back a match that no response has named yet, in any order", async () => {
    const call = (found: number) => object().decide("push", "f", "first", contents(1), marks(found), true);
    expect(await decisionsOf(call(MATCH))).toEqual([MATCH]);
    expect(await decisionsOf(call(NO_MATCH))).toEqual([NO_MATCH]);
    expect(await decisionsOf(call(MATCH))).toEqual([NO_MATCH]);
  });

  it("decides nothing while a retry is suspected and not verified", async () => {
    const call = (requestId: string, found: number, verified: boolean) =>
      object().decide(`push ${requestId}`, "f", requestId, contents(1), marks(found), verified);
    await call("first", MATCH, true);
    expect(await call("second", MATCH, false)).toMatchObject({ retrySuspected: true });
    expect(await decisionsOf(call("second", REJECTED, true))).toEqual([NO_MATCH]);
  });

  it("keeps a match of an identified session, whatever is found later", async () => {
    const call = (requestId: string, found: number) =>
      object().decide("push", requestId, requestId, contents(1), marks(found), true);
    await call("first", MATCH);
    advanceClock(4 * MINUTE_MS);
    for (const found of [REMOVED, REJECTED, NO_MATCH]) {
      expect(await decisionsOf(call(`found ${found}`, found))).toEqual([MATCH]);
    }
  });
});

describe("an object that can't be reached", () => {
  const unreachable = (call: () => Promise<unknown>) => ({
    ...env,
    RESOURCE_CACHE: cacheWithoutKeys,
    PUSH_SESSIONS: { getByName: () => ({ inspect: call, decide: call }) },
  });

  it.each<[string, () => Promise<unknown>]>([
    ["fails", () => Promise.reject(new Error("the object was reset"))],
    ["hangs", () => new Promise(() => {})],
  ])("and %s does not fail a push: what the isolate has decided itself counts", async (_, call) => {
    const run = { trace: traceId(), isolate: unreachable(call) };
    expect(await pathsOf(rows(5_000), run)).toEqual([]);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "push-sessions-unreachable", method: "decide", mayLoseFile: true }),
    );
    await publish({ present: [keyOf(1), keyOf(9_000)] });
    advanceClock(MINUTE_MS);
    expect(await pathsOf([resource(1), resource(9_000)], run)).toEqual(["src/9000.js"]);
  });

  it("gets what the isolate has decided without it, once it can be reached again", async () => {
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

  it("is called again until it answers, for up to two seconds", async () => {
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
  ])("and runs another version of the Worker does not fail a push: %s", async (_, count, reply) => {
    const call = async () => ({ retrySuspected: false, ...reply });
    expect((await send(rows(count), { isolate: unreachable(call) })).status).toBe(201);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "push-sessions-unreachable", cause: expect.any(String) }),
    );
  });
});

describe("what an object stores", () => {
  const count = (table: string) =>
    runInDurableObject(object(), (_, { storage: { sql } }) => {
      const exists = sql.exec("SELECT 1 FROM sqlite_master WHERE name = ?", table).toArray().length > 0;
      return exists ? sql.exec(`SELECT * FROM ${table}`).toArray().length : 0;
    });

  it("is on disk before a request of 5,000 is answered, and a second later for a smaller one", async () => {
    await object().inspect("push", "f", "a request");
    expect(await count("requests")).toBe(0);
    await vi.waitFor(async () => expect(await count("requests")).toBe(1), { timeout: 5_000 });
    await object().decide("push", "g", "another", contents(1), marks(MATCH), true);
    expect([await count("requests"), await count("decisions"), await count("sessions")]).toEqual([2, 1, 1]);
  });

  it("is nothing once all of it has expired", async () => {
    await send(rows(5_000), {});
    advanceClock(10 * MINUTE_MS + 1);
    await runDurableObjectAlarm(object());
    expect([await count("requests"), await count("decisions"), await count("sessions")]).toEqual([0, 0, 0]);
    await send(rows(5_000), {});
    expect(await count("sessions")).toBe(1);
  });

  it("keeps what has not expired when it is cleaned up", async () => {
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

  it("are the decisions of 90 requests of a session; what more of them ask for is no match for the rest of the session", async () => {
    const all = new Uint8Array(5_000).fill(MATCH);
    const random = () => crypto.getRandomValues(new Uint8Array(8 * 5_000));
    const decide = (pushId: string, name: string, asked: Uint8Array<ArrayBuffer>) =>
      decisionsOf(object().decide(pushId, name, name, asked, all.slice(0, asked.length / 8), true));
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

  it("are rejections of the Cloud Controller even if the unidentified session is full", async () => {
    const all = new Uint8Array(5_000).fill(MATCH);
    const random = () => crypto.getRandomValues(new Uint8Array(8 * 5_000));
    const decide = (name: string, asked: Uint8Array<ArrayBuffer>, found: Uint8Array) =>
      decisionsOf(object().decide("", name, name, asked, found, true));
    const first = random();
    await decide("0", first, all);
    for (let index = 1; index < 90; index++) await decide(`${index}`, random(), all);
    const content = first.slice(0, 8);
    expect(await decide("90", content, marks(REJECTED))).toEqual([NO_MATCH]);
    expect(await decide("91", content, marks(MATCH))).toEqual([NO_MATCH]);
  });
});
