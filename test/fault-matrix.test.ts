import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../src/index.ts";
import { NO_SESSION } from "../src/push-sessions/decisions.ts";
import { MatchRequest } from "../src/resource-match/match-request.ts";
import { TIMEOUT_MS } from "../src/time/time-guarantees.ts";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL } from "./support/origin.ts";
import { type Cell, markdownTable } from "./support/table.ts";
import { signToken } from "./support/tokens.ts";
import { fillCache, matchedPaths, resource, type SentResource, sendWithEnv } from "./support/worker.ts";

/**
 * Every binding and every server with every kind of fault: the response to a push during the fault, and after it.
 * `npx vitest run test/fault-matrix --silent=false` prints the table.
 */
const LOOKUP_DEADLINE_MS = 400;
/** Replaces timeouts of seconds. */
const SHORT_MS = 150;
const SLOW_MS = 40;
/** A busy machine may take this long to fetch UAA's keys, which every test needs. */
const KEYS_FETCH_MS = 2_000;
const KEYS_FETCHED = { timeout: 10_000, interval: 100 };
/** Longer than all deadlines of this test together. */
const HUNG_MS = 8_000;

/** In the cache and the pool; in the pool; in neither. */
const [CACHED, POOLED, UNKNOWN] = [resource(1), resource(2), resource(3)];
const BODY = { resources: [CACHED, POOLED, UNKNOWN] };
const ALL = [CACHED.path, POOLED.path];

const KINDS = ["throws", "hangs", "is slow", "returns garbage", "loses the connection"] as const;
type Kind = (typeof KINDS)[number];

/** Calls `real` with a fault of this kind. */
function callWithFault<T>(kind: Kind, real: () => Promise<T>, garbage: () => unknown): Promise<T> {
  switch (kind) {
    case "throws":
      throw new Error("out of order");
    case "hangs":
      return new Promise(() => {});
    case "is slow":
      return scheduler.wait(SLOW_MS).then(real);
    case "returns garbage":
      return Promise.resolve(garbage() as T);
    case "loses the connection":
      return scheduler.wait(SLOW_MS).then(() => Promise.reject(new Error("Network connection lost.")));
  }
}

let fault: { component: string; kind: Kind } | undefined;
const call = <T>(component: string, real: () => Promise<T>, garbage: () => unknown): Promise<T> =>
  fault?.component === component ? callWithFault(fault.kind, real, garbage) : real();

/** Calls that reached the catalog. */
let reports: string[] = [];
const isPooled = ({ checksum }: SentResource) =>
  [CACHED, POOLED].some((one) => one.checksum.value === checksum.value);

/** The bindings of the Worker. Each may have the fault. */
function bindings(): Record<string, unknown> {
  const object = (component: string, members: Record<string, () => Promise<unknown>>, garbage?: object) => ({
    getByName: () =>
      new Proxy(members, {
        get: (all, name: string) => () =>
          call(component, all[name] ?? (async () => undefined), () => garbage),
      }),
  });
  const get = (names: string | string[], options: never) =>
    call(
      "KV",
      () => env.RESOURCE_CACHE.get(names as string, options) as Promise<unknown>,
      () => (Array.isArray(names) ? new Map(names.map((name) => [name, "garbage"])) : "garbage"),
    );
  return {
    ...env,
    CLOUD_CONTROLLER_URL,
    LOOKUP_DEADLINE_MS,
    RESOURCE_CACHE: { get, put: () => Promise.resolve(), delete: () => Promise.resolve() },
    CATALOG: object("catalog", {
      observe: async () => void reports.push("observe"),
      reportRejections: async () => void reports.push("reportRejections"),
    }),
    PUSH_SESSIONS: object(
      "push sessions",
      { inspect: async () => ({ retrySuspected: false, session: NO_SESSION }) },
      { session: "garbage" },
    ),
    RATE_LIMITER: {
      limit: () =>
        call(
          "rate limiter",
          async () => ({ success: true }),
          () => ({ garbage: 1 }),
        ),
    },
    // The Worker does not wait for it.
    METRICS: {
      writeDataPoint: () =>
        void call(
          "metrics",
          async () => undefined,
          () => "garbage",
        )?.catch(() => {}),
    },
    POOL_BUCKET: {
      head: () =>
        call(
          "R2",
          async () => ({ size: 7 }),
          () => ({ size: "garbage" }),
        ),
    },
  };
}

const uaaKeys = globalThis.fetch;
const truncated = () =>
  new Response(
    new ReadableStream({
      async pull(controller) {
        controller.enqueue(new TextEncoder().encode('{"resources":['));
        await scheduler.wait(SLOW_MS);
        controller.error(new Error("Network connection lost."));
      },
    }),
    { status: 201 },
  );

function fetchWithFault(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input as Request, init);
  const html = () => new Response("<html>", { status: 200 });
  if (new URL(request.url).pathname === "/token_keys") {
    return call("UAA", () => uaaKeys(request), html);
  }
  if (fault?.component === "Cloud Controller" && fault.kind === "loses the connection") {
    return Promise.resolve(truncated());
  }
  const match = async () => {
    const { resources } = await request.json<{ resources: SentResource[] }>();
    return Response.json({ resources: resources.filter(isPooled) }, { status: 201 });
  };
  return call("Cloud Controller", match, () => Response.json({ resources: [resource(4)] }, { status: 201 }));
}

const COLUMNS = ["component", "fault", "status", "matched", "warnings", "log", "ms"];
const rows: Cell[][] = [];
function addRow(component: string, kind: string, status: Cell, matched: Cell, warnings: Cell, ms: Cell) {
  rows.push([component, kind, status, matched, warnings, problems().join(", ") || "–", ms]);
}
const timeouts = { ...TIMEOUT_MS };

beforeAll(async () => {
  await fillCache(CACHED);
  for (const name of Object.keys(TIMEOUT_MS) as (keyof typeof TIMEOUT_MS)[]) TIMEOUT_MS[name] = SHORT_MS;
  TIMEOUT_MS.uaaKeys = KEYS_FETCH_MS;
});
afterAll(() => {
  Object.assign(TIMEOUT_MS, timeouts);
  console.log(markdownTable(COLUMNS, rows));
});

let logs: Record<string, unknown>[];
beforeEach(() => {
  reports = [];
  logs = collectLogs();
  vi.spyOn(globalThis, "fetch").mockImplementation(fetchWithFault as typeof fetch);
});
afterEach(() => {
  fault = undefined;
  vi.restoreAllMocks();
});

/** The events that were logged as warnings or errors. */
const problems = () => [
  ...new Set(logs.filter(({ level }) => level !== "log").map(({ event }) => String(event))),
];

async function push(isolate: object, token?: string) {
  logs.length = 0;
  const startedAt = Date.now();
  const response = await sendWithEnv(isolate, BODY, { token: token ?? (await signToken()) });
  const warnings = response.headers.get("X-Cf-Warnings")?.split(",").map(decodeURIComponent) ?? [];
  const matched = response.status === 201 ? await matchedPaths(response) : [];
  return { status: response.status, matched, warnings, ms: Date.now() - startedAt };
}

/** Only these can cost matches. */
const TIERS = ["KV", "Cloud Controller"];

describe.each(["KV", "Cloud Controller", "catalog", "push sessions", "rate limiter", "metrics"])(
  "%s",
  (component) => {
    it.each(KINDS)(`returns 201 and no stale match while ${component} %s (R2.1, R2.2)`, async (kind) => {
      const isolate = bindings();
      fault = { component, kind };
      const { status, matched, warnings, ms } = await push(isolate);
      const log = problems();
      addRow(component, kind, status, matched.length, warnings.length, ms);

      expect(status).toBe(201);
      expect(ALL).toEqual(expect.arrayContaining(matched));
      expect(ms).toBeLessThan(HUNG_MS);
      // Missed matches cause a warning for the user and for the operator.
      if (matched.length < ALL.length) {
        expect(TIERS).toContain(component);
        expect(warnings).not.toEqual([]);
        expect(log).not.toEqual([]);
      }
      if (kind === "throws" || kind === "hangs") expect(log.length > 0 || component === "metrics").toBe(true);

      fault = undefined;
      expect(await push(isolate)).toMatchObject({ status: 201, matched: ALL, warnings: [] });
      expect(problems()).toEqual([]);
    });
  },
);

describe("UAA", () => {
  it.each(KINDS)(
    "returns 201 while UAA %s, from the Cloud Controller if no keys are cached (R2.6)",
    async (kind) => {
      const isolate = bindings();
      await vi.waitFor(async () => expect(await push(isolate)).toMatchObject({ status: 201 }), KEYS_FETCHED);
      fault = { component: "UAA", kind };
      const real = Date.now;
      // At this age the keys are renewed after the response.
      const aged = vi.spyOn(Date, "now").mockImplementation(() => real() + 601_000);
      const withKeys = await push(isolate);
      addRow("UAA, keys cached", kind, withKeys.status, withKeys.matched.length, 0, withKeys.ms);
      aged.mockRestore();
      expect(withKeys).toMatchObject({ status: 201, matched: ALL, warnings: [] });

      const fresh = bindings();
      const without = await push(fresh);
      addRow("UAA, no keys", kind, without.status, 0, 0, without.ms);
      expect(without).toMatchObject({ status: 201, matched: ALL });
      const failedOpen = expect.objectContaining({ event: "failed-open" });
      if (kind !== "is slow") expect(logs).toContainEqual(failedOpen);
      expect(without.ms).toBeLessThan(HUNG_MS);

      fault = undefined;
      // Without keys they are requested again after a second.
      const expectMatches = async () =>
        expect(await push(fresh)).toMatchObject({ status: 201, matched: ALL });
      await vi.waitFor(expectMatches, KEYS_FETCHED);
      expect(await push(isolate)).toMatchObject({ status: 201, matched: ALL });
    },
  );
});

describe("the Worker itself", () => {
  const causes: [string, status: number, Record<string, unknown>, () => Promise<string>][] = [
    ["has a wrong setting", 500, { MINIMUM_SIZE: "64k" }, signToken],
    ["lacks a binding", 500, { PUSH_SESSIONS: undefined }, signToken],
    ["gets a token of a key that UAA lacks", 401, {}, () => signToken({}, { kid: "unknown" })],
    ["gets a token with HS256", 401, {}, () => signToken({}, { alg: "HS256" }, new Uint8Array(32))],
    ["gets a token of another issuer", 401, {}, () => signToken({ iss: "https://uaa.example.org" })],
    ["gets a token for another audience", 401, {}, () => signToken({ aud: ["other"] })],
    ["throws", 500, {}, signToken],
  ];

  it.each(causes)(
    "returns the Cloud Controller's response if the Worker %s (R2.6), and without one %i",
    async (cause, status, bindingsOfCause, createToken) => {
      const isolate = { ...bindings(), ...bindingsOfCause };
      const lone = { ...isolate, CLOUD_CONTROLLER_URL: undefined };
      for (const each of [isolate, lone]) {
        await vi.waitFor(async () => expect((await push(each)).status).not.toBe(503), KEYS_FETCHED);
      }
      const throwIfBug = () => {
        if (cause !== "throws") return;
        vi.spyOn(MatchRequest.prototype, "sessionRequest").mockImplementationOnce(() => {
          throw new Error("a bug");
        });
      };
      throwIfBug();
      const failedOpen = await push(isolate, await createToken());
      addRow("Worker", cause, failedOpen.status, failedOpen.matched.length, 0, failedOpen.ms);
      expect(failedOpen).toMatchObject({ status: 201, matched: ALL });
      expect(logs).toContainEqual(expect.objectContaining({ event: "failed-open" }));

      throwIfBug();
      const alone = await push(lone, await createToken());
      addRow("Worker, no Cloud Controller", cause, alone.status, 0, 0, alone.ms);
      expect(alone.status).toBe(status);
    },
  );
});

const event = (body: unknown) =>
  createMessageBatch("resource-pool-changes", [{ id: "1", timestamp: new Date(), attempts: 1, body }]);
const object = { key: `app_bits_cache/aa/aa/${"a".repeat(40)}`, size: 7, eTag: "e" };
const created = {
  account: "a",
  action: "PutObject",
  bucket: "resource-pool",
  object,
  eventTime: new Date().toISOString(),
};

async function deliver(isolate: object, body: unknown) {
  logs.length = 0;
  const startedAt = Date.now();
  const batch = event(body);
  await worker.queue(batch, isolate);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, createExecutionContext());
  return { acked: explicitAcks.length, retried: retryMessages.length, ms: Date.now() - startedAt };
}

describe.each(["R2", "catalog"])("a bucket event and %s", (component) => {
  it.each(KINDS)(
    `retries a bucket event until it is reported, while ${component} %s (R2.1)`,
    async (kind) => {
      const isolate = bindings();
      fault = { component, kind };
      const { acked, retried, ms } = await deliver(isolate, created);
      addRow(`queue, ${component}`, kind, acked ? "acknowledged" : "retried", reports.length, "–", ms);
      expect(acked + retried).toBe(1);
      expect(ms).toBeLessThan(HUNG_MS);
      if (kind !== "is slow" && kind !== "returns garbage") expect(retried).toBe(1);

      fault = undefined;
      expect(await deliver(isolate, created)).toMatchObject({ acked: 1, retried: 0 });
      expect(reports).toContain("observe");
    },
  );
});

it.each(["garbage", null, 7, {}, { ...created, object: { key: 7 } }])(
  "acknowledges a malformed bucket event without a report: %j",
  async (body) => {
    const outcome = await deliver(bindings(), body);
    addRow("queue", "malformed event", outcome.acked ? "acknowledged" : "retried", 0, "–", outcome.ms);
    expect(outcome).toMatchObject({ acked: 1, retried: 0 });
    expect(reports).toEqual([]);
  },
);
