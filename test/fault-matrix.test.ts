import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../src/index.ts";
import { NO_SESSION } from "../src/push-sessions/decisions.ts";
import { TIMEOUT_MS } from "../src/time/time-guarantees.ts";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL } from "./support/origin.ts";
import { type Cell, markdownTable } from "./support/table.ts";
import { signToken } from "./support/tokens.ts";
import { fillCache, matchedPaths, resource, type SentResource, sendWithEnv } from "./support/worker.ts";

/**
 * Every binding, and every server, in every kind of trouble: what a push is answered then, and that afterwards all is as
 * before. The table is printed with `npx vitest run test/fault-matrix --silent=false`.
 */
const LOOKUP_DEADLINE_MS = 400;
/** In the place of seconds, so that the matrix takes none. */
const SHORT_MS = 150;
const SLOW_MS = 40;
/** For UAA's keys, which a busy machine may not get in so short a time. */
const PATIENT = { timeout: 10_000, interval: 100 };
/** Far beyond all deadlines here: what takes as long has hung. */
const HUNG_MS = 8_000;

/** The cache knows the first, the Cloud Controller the first two, and nobody the third. */
const [CACHED, POOLED, UNKNOWN] = [resource(1), resource(2), resource(3)];
const BODY = { resources: [CACHED, POOLED, UNKNOWN] };
const ALL = [CACHED.path, POOLED.path];

const KINDS = ["throws", "hangs", "is slow", "lies", "is cut off"] as const;
type Kind = (typeof KINDS)[number];

/** What `real` does instead, in this kind of trouble; `lie` is its wrong answer. */
function troubled<T>(kind: Kind, real: () => Promise<T>, lie: () => unknown): Promise<T> {
  switch (kind) {
    case "throws":
      throw new Error("out of order");
    case "hangs":
      return new Promise(() => {});
    case "is slow":
      return scheduler.wait(SLOW_MS).then(real);
    case "lies":
      return Promise.resolve(lie() as T);
    case "is cut off":
      return scheduler.wait(SLOW_MS).then(() => Promise.reject(new Error("Network connection lost.")));
  }
}

/** The trouble of the moment. */
let trouble: { of: string; kind: Kind } | undefined;
const afflicted = <T>(of: string, real: () => Promise<T>, lie: () => unknown): Promise<T> =>
  trouble?.of === of ? troubled(trouble.kind, real, lie) : real();

let told: unknown[] = [];
const isPooled = ({ checksum }: SentResource) =>
  [CACHED, POOLED].some((one) => one.checksum.value === checksum.value);

/** The Worker's bindings, each of which the trouble of the moment may befall. */
function bindings(): Record<string, unknown> {
  const object = (of: string, members: Record<string, () => Promise<unknown>>, lie?: object) => ({
    getByName: () =>
      new Proxy(members, {
        get: (all, name: string) => () => afflicted(of, all[name] ?? (async () => undefined), () => lie),
      }),
  });
  const get = (names: string | string[], options: never) =>
    afflicted(
      "KV",
      () => env.RESOURCE_CACHE.get(names as string, options) as Promise<unknown>,
      () => (Array.isArray(names) ? new Map(names.map((name) => [name, "rubbish"])) : "rubbish"),
    );
  return {
    ...env,
    CLOUD_CONTROLLER_URL,
    LOOKUP_DEADLINE_MS,
    RESOURCE_CACHE: { get, put: () => Promise.resolve(), delete: () => Promise.resolve() },
    CATALOG: object("catalog", {
      observe: async () => void told.push("observed"),
      deny: async () => void told.push("denied"),
    }),
    PUSH_SESSIONS: object(
      "push sessions",
      { inspect: async () => ({ retrySuspected: false, session: NO_SESSION }) },
      { session: "rubbish" },
    ),
    RATE_LIMITER: {
      limit: () =>
        afflicted(
          "rate limiter",
          async () => ({ success: true }),
          () => ({ rubbish: 1 }),
        ),
    },
    // It is not waited for: what it returns is nobody's.
    METRICS: {
      writeDataPoint: () =>
        void afflicted(
          "metrics",
          async () => undefined,
          () => "rubbish",
        )?.catch(() => {}),
    },
    POOL_BUCKET: {
      head: () =>
        afflicted(
          "R2",
          async () => ({ size: 7 }),
          () => ({ size: "rubbish" }),
        ),
    },
  };
}

const uaaKeys = globalThis.fetch;
const cut = () =>
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

function fetchInTrouble(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input as Request, init);
  const html = () => new Response("<html>", { status: 200 });
  if (new URL(request.url).pathname === "/token_keys") {
    return afflicted("UAA", () => uaaKeys(request), html);
  }
  if (trouble?.of === "Cloud Controller" && trouble.kind === "is cut off") return Promise.resolve(cut());
  const match = async () => {
    const { resources } = await request.json<{ resources: SentResource[] }>();
    return Response.json({ resources: resources.filter(isPooled) }, { status: 201 });
  };
  return afflicted("Cloud Controller", match, () =>
    Response.json({ resources: [resource(4)] }, { status: 201 }),
  );
}

const COLUMNS = ["what", "trouble", "answer", "matched", "warnings", "log", "ms"];
const rows: Cell[][] = [];
const row = (...cells: Cell[]) => void rows.push(cells);
const timeouts = { ...TIMEOUT_MS };

beforeAll(async () => {
  await fillCache(CACHED);
  for (const name of Object.keys(TIMEOUT_MS) as (keyof typeof TIMEOUT_MS)[]) TIMEOUT_MS[name] = SHORT_MS;
});
afterAll(() => {
  Object.assign(TIMEOUT_MS, timeouts);
  console.log(markdownTable(COLUMNS, rows));
});

let logs: Record<string, unknown>[];
beforeEach(() => {
  told = [];
  logs = collectLogs();
  vi.spyOn(globalThis, "fetch").mockImplementation(fetchInTrouble as typeof fetch);
});
afterEach(() => {
  trouble = undefined;
  vi.restoreAllMocks();
});

/** The events of warnings and errors that were logged. */
const complaints = () => [
  ...new Set(logs.filter(({ level }) => level !== "log").map(({ event }) => String(event))),
];

async function push(isolate: object) {
  logs.length = 0;
  const begun = Date.now();
  const response = await sendWithEnv(isolate, BODY, { token: await signToken() });
  const warnings = response.headers.get("X-Cf-Warnings")?.split(",").map(decodeURIComponent) ?? [];
  const matched = response.status === 201 ? await matchedPaths(response) : [];
  return { status: response.status, matched, warnings, ms: Date.now() - begun };
}

const BEFORE_THE_ANSWER = ["KV", "Cloud Controller"];

describe.each(["KV", "Cloud Controller", "catalog", "push sessions", "rate limiter", "metrics"])(
  "%s",
  (of) => {
    it.each(KINDS)("%s: no push fails, and nothing is claimed that is not held", async (kind) => {
      const isolate = bindings();
      trouble = { of, kind };
      const answer = await push(isolate);
      const log = complaints();
      row(
        of,
        kind,
        answer.status,
        answer.matched.length,
        answer.warnings.length,
        log.join(", ") || "–",
        answer.ms,
      );

      expect(answer.status).toBe(201);
      expect(ALL).toEqual(expect.arrayContaining(answer.matched));
      expect(answer.ms).toBeLessThan(HUNG_MS);
      // Only what may hold something back is a reason to warn the one who pushes; and then both know of it.
      if (answer.matched.length < ALL.length) {
        expect(BEFORE_THE_ANSWER).toContain(of);
        expect(answer.warnings).not.toEqual([]);
        expect(log).not.toEqual([]);
      }
      if (kind === "throws" || kind === "hangs") expect(log.length > 0 || of === "metrics").toBe(true);

      trouble = undefined;
      expect(await push(isolate)).toMatchObject({ status: 201, matched: ALL, warnings: [] });
      expect(complaints()).toEqual([]);
    });
  },
);

describe("UAA", () => {
  it.each(KINDS)("%s: an isolate that has its keys goes on; one that begins says 503", async (kind) => {
    const isolate = bindings();
    await vi.waitFor(async () => expect(await push(isolate)).toMatchObject({ status: 201 }), PATIENT);
    trouble = { of: "UAA", kind };
    const real = Date.now;
    // The keys are as old as makes them be fetched anew, behind the answer.
    const aged = vi.spyOn(Date, "now").mockImplementation(() => real() + 601_000);
    const withKeys = await push(isolate);
    row(
      "UAA, keys held",
      kind,
      withKeys.status,
      withKeys.matched.length,
      0,
      complaints().join(", ") || "–",
      withKeys.ms,
    );
    aged.mockRestore();
    expect(withKeys).toMatchObject({ status: 201, matched: ALL, warnings: [] });

    const fresh = bindings();
    const without = await push(fresh);
    row("UAA, no keys yet", kind, without.status, 0, 0, complaints().join(", ") || "–", without.ms);
    expect(without.status).toBe(kind === "is slow" ? 201 : 503);
    expect(without.ms).toBeLessThan(HUNG_MS);

    trouble = undefined;
    // Without any key UAA is asked again after a second.
    const isWell = async () => expect(await push(fresh)).toMatchObject({ status: 201, matched: ALL });
    await vi.waitFor(isWell, PATIENT);
    expect(await push(isolate)).toMatchObject({ status: 201, matched: ALL });
  });
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
  const begun = Date.now();
  const batch = event(body);
  await worker.queue(batch, isolate);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, createExecutionContext());
  return { acked: explicitAcks.length, retried: retryMessages.length, ms: Date.now() - begun };
}

describe.each(["R2", "catalog"])("an event of the bucket, while %s", (of) => {
  it.each(KINDS)("%s: it is kept until the catalog has what is true", async (kind) => {
    const isolate = bindings();
    trouble = { of, kind };
    const { acked, retried, ms } = await deliver(isolate, created);
    row(
      `queue, ${of}`,
      kind,
      acked ? "acknowledged" : "retried",
      told.length,
      "–",
      complaints().join(", ") || "–",
      ms,
    );
    expect(acked + retried).toBe(1);
    expect(ms).toBeLessThan(HUNG_MS);
    if (kind !== "is slow" && kind !== "lies") expect(retried).toBe(1);

    trouble = undefined;
    expect(await deliver(isolate, created)).toMatchObject({ acked: 1, retried: 0 });
    expect(told).toContain("observed");
  });
});

it.each(["rubbish", null, 7, {}, { ...created, object: { key: 7 } }])(
  "the queue brings %j: it is acknowledged, and nobody is told",
  async (body) => {
    const outcome = await deliver(bindings(), body);
    row(
      "queue",
      "lies",
      outcome.acked ? "acknowledged" : "retried",
      0,
      "–",
      complaints().join(", ") || "–",
      outcome.ms,
    );
    expect(outcome).toMatchObject({ acked: 1, retried: 0 });
    expect(told).toEqual([]);
  },
);
