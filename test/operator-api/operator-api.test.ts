import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import packageJson from "../../package.json";
import { noRefusals } from "../../src/catalog/observations.ts";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { BODY_MAX_BYTES } from "../../src/platform-limits.ts";
import { advanceClock } from "../support/clock.ts";
import { expectDocumented } from "../support/documented.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { signToken } from "../support/tokens.ts";
import {
  fillCache,
  replaceIsolate,
  resource,
  type SentResource,
  send,
  sendWith,
  sendWithEnv,
} from "../support/worker.ts";

const CACHE = "https://api.example.com/v3/resource_matches/cache";
const signTokenWith = (...scopes: string[]) =>
  signToken({ scope: scopes.map((name) => `cloud_controller.${name}`) });

type Route = [method: string, path: string];
const READS: Route[] = [
  ["GET", ""],
  ["GET", "/resources"],
];
const WRITES: Route[] = [
  ["POST", "/observations"],
  ["POST", "/publication"],
  ["DELETE", ""],
];

const OBSERVATIONS = { method: "POST", url: `${CACHE}/observations` };

interface CallOptions {
  body?: BodyInit | object;
  token?: string | null;
  bindings?: Record<string, unknown>;
}

async function call(
  [method, path]: Route,
  { body, token, bindings = {} }: CallOptions = {},
): Promise<Response> {
  const [pathname] = path.split("?");
  const options = {
    method,
    url: CACHE + path,
    token: token === undefined ? await signTokenWith("admin") : token,
  };
  const response = await sendWith(bindings, body ?? (method === "POST" ? {} : undefined), options);
  const isRoute = [...READS, ...WRITES].some((route) => route[0] === method && route[1] === pathname);
  if (isRoute) await expectDocumented(options, response);
  return response;
}

async function report(body: object): Promise<unknown> {
  const response = await call(["POST", "/observations"], { body });
  expect(response.status).toBe(200);
  await expectDocumented(OBSERVATIONS, response, { sent: JSON.stringify(body) });
  return response.json();
}

async function readDetail(response: Response): Promise<unknown> {
  const { errors } = await response.json<{ errors: { detail: string }[] }>();
  return errors[0]?.detail;
}

/** `<sha1>:<size>` of all resources in the catalog. */
async function listCatalog(): Promise<string[]> {
  const response = await call(["GET", "/resources"]);
  const { resources } = await response.json<{ resources: SentResource[] }>();
  return resources.map(keyOf);
}

const keyOf = ({ checksum, size_in_bytes }: SentResource) => `${checksum.value}:${size_in_bytes}`;

afterEach(() => vi.restoreAllMocks());

describe("access to the operator API", () => {
  const all = [...READS, ...WRITES];

  it.each(all)("returns 401 without a token, and with an invalid one: %s %s", async (...route) => {
    expect((await call(route, { token: null })).status).toBe(401);
    expect((await call(route, { token: "garbage" })).status).toBe(401);
  });

  it.each(all)("returns 403 to a user who may only push: %s %s", async (...route) => {
    const response = await call(route, { token: await signTokenWith("read", "write") });
    expect(response.status).toBe(403);
    expect(await response.text()).toBe(
      '{"errors":[{"detail":"You are not authorized to perform the requested action","title":"CF-NotAuthorized","code":10003}]}',
    );
  });

  it.each(["admin_read_only", "global_auditor"])(
    "lets cloud_controller.%s read the cache, but not change it",
    async (scope) => {
      await report({ present: [resource(1)] });
      const token = await signTokenWith(scope);
      for (const route of READS) expect((await call(route, { token })).status).toBe(200);
      for (const route of WRITES) expect((await call(route, { token })).status).toBe(403);
      expect(await listCatalog()).toContain(keyOf(resource(1)));
    },
  );

  it("returns 429 when a caller of the operator API exceeds the rate limit", async () => {
    const limit = vi.fn(async () => ({ success: false }));
    for (const route of all) {
      const response = await call(route, { bindings: { RATE_LIMITER: { limit } } });
      expect(response.status).toBe(429);
      expect(response.headers.get("Retry-After")).toBe("60");
    }
    expect(limit).toHaveBeenCalledTimes(all.length);
  });
});

describe("paths and methods that are not in the operator API", () => {
  it.each([
    ["PUT", ""],
    ["POST", ""],
    ["HEAD", ""],
    ["DELETE", "/resources"],
    ["GET", "/observations"],
    ["GET", "/publication"],
    ["GET", "/elsewhere"],
    ["POST", "/observations/1"],
    ["OPTIONS", "/a/b/c"],
  ])(
    "returns 404 below the operator API, and passes nothing through to the Cloud Controller: %s %s",
    async (...route) => {
      const requests = fakeCloudController(() => new Response("ok"));
      for (const bindings of [{}, { CLOUD_CONTROLLER_URL }]) {
        const response = await call(route as Route, { bindings });
        expect(response.status).toBe(404);
        if (route[0] !== "HEAD") expect(await readDetail(response)).toBe("Unknown request");
      }
      expect(requests).toEqual([]);
    },
  );

  it("passes a path through that only begins like the operator API", async () => {
    const requests = fakeCloudController(() => new Response("ok"));
    await call(["GET", "s"], { bindings: { CLOUD_CONTROLLER_URL } });
    expect(requests).toHaveLength(1);
  });
});

describe("POST observations", () => {
  beforeEach(() => reset());

  it("adds and removes resources, and returns how many changed", async () => {
    await report({ present: [resource(1), resource(2)] });
    const result = await report({
      present: [resource(2), resource(3), resource(4, { size_in_bytes: 2 ** 40 })],
      removed: [resource(1), { checksum: { value: resource(9).checksum.value } }],
    });
    expect(result).toEqual({
      changed: 2,
      unchanged: 2,
      refused: { "outside-limits": 1, "too-old": 0, "conflicting-size": 0 },
    });
    expect(await listCatalog()).toEqual([resource(2), resource(3)].map(keyOf));
  });

  it("keeps the later observation, even if the earlier one arrives after it (R1.3)", async () => {
    const [first, second] = [resource(1), resource(2)];
    await report({ seconds_ago: 0, removed: [first] });
    await report({ seconds_ago: 60, present: [first, second] });
    expect(await listCatalog()).toEqual([keyOf(second)]);
    await scheduler.wait(2);
    await report({ present: [first, second] });
    await report({ seconds_ago: 0.5, removed: [first] });
    expect(await listCatalog()).toEqual([first, second].map(keyOf));
  });

  it("takes the time of the status as observed_at, and no time in the future (R1.3)", async () => {
    const { time } = await (await call(["GET", ""])).json<{ time: string }>();
    await scheduler.wait(2);
    await report({ removed: [resource(1)] });
    await report({ observed_at: time, present: [resource(1), resource(2)] });
    expect(await listCatalog()).toEqual([keyOf(resource(2))]);
    // A time in the future counts as now: else it would overrule the removal that follows.
    await report({ observed_at: "9999-01-01T00:00:00Z", present: [resource(1)] });
    await scheduler.wait(2);
    await report({ removed: [resource(1)] });
    expect(await listCatalog()).toEqual([keyOf(resource(2))]);
  });

  it("counts seconds_ago back from when the request arrived, not from the end of its body (R1.3)", async () => {
    const text = new TextEncoder().encode(JSON.stringify({ removed: [resource(1)] }));
    const slow = new ReadableStream(
      {
        async pull(controller) {
          await report({ present: [resource(1)] });
          await scheduler.wait(2);
          controller.enqueue(text);
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    expect((await call(["POST", "/observations"], { body: slow })).status).toBe(200);
    expect(await listCatalog()).toEqual([keyOf(resource(1))]);
  });

  it("refuses a present resource that was observed more than a day ago, and accepts a removal of any age (R1.3)", async () => {
    expect(await report({ seconds_ago: 90_000, present: [resource(1)] })).toMatchObject({
      changed: 0,
      refused: { "too-old": 1 },
    });
    expect(await report({ seconds_ago: 1e300, removed: [resource(2)] })).toMatchObject({ unchanged: 1 });
  });

  it("accepts 50,000 resources, and returns 422 for 50,001", async () => {
    const bare = (index: number) => ({ checksum: resource(index).checksum, size_in_bytes: 1 });
    const present = Array.from({ length: 49_999 }, (_, index) => bare(index));
    const removed = [{ checksum: resource(50_000).checksum }];
    expect(await report({ present, removed })).toMatchObject({ changed: 49_999, unchanged: 1 });
    const more = await call(["POST", "/observations"], {
      body: { present: [...present, bare(60_000)], removed },
    });
    expect(more.status).toBe(422);
    expect(await readDetail(more)).toBe("present and removed can have at most 50000 resources together");
  });

  const upper = "ABCDEF0123456789ABCDEF0123456789ABCDEF01";
  it("accepts a checksum in upper case, and an empty report", async () => {
    expect(await report({ present: [{ checksum: { value: upper }, size_in_bytes: 5 }] })).toMatchObject({
      changed: 1,
    });
    expect(await listCatalog()).toEqual([`${upper.toLowerCase()}:5`]);
    expect(await report({})).toMatchObject({ changed: 0, unchanged: 0 });
  });

  const good = { checksum: resource(1).checksum, size_in_bytes: 1 };
  const one = "array contains at least one resource with";
  it.each([
    [[], "The body must be an object"],
    ["null", "The body must be an object"],
    [{ remove: [] }, 'Unknown member "remove"'],
    [{ seconds_ago: -1 }, "seconds_ago must be a number, at least 0"],
    [{ seconds_ago: "1" }, "seconds_ago must be a number, at least 0"],
    ['{"seconds_ago":1e999}', "seconds_ago must be a number, at least 0"],
    [{ observed_at: 5 }, "observed_at must be an ISO 8601 time in UTC, such as the time of the status"],
    [
      { observed_at: "2026-11-24T03:00:00+01:00" },
      "observed_at must be an ISO 8601 time in UTC, such as the time of the status",
    ],
    [
      { observed_at: "2026-13-24T03:00:00Z" },
      "observed_at must be an ISO 8601 time in UTC, such as the time of the status",
    ],
    [
      { observed_at: "2026-11-24T03:00:00Z", seconds_ago: 1 },
      "seconds_ago and observed_at exclude each other",
    ],
    [{ present: {}, removed: 1 }, "present must be an array, removed must be an array"],
    [{ present: [good, null] }, "present array contains at least one non-object resource"],
    [{ present: [{ size_in_bytes: 1 }] }, `present ${one} a non-object checksum`],
    [{ present: [{ ...good, checksum: { value: 1 } }] }, `present ${one} a non-string checksum value`],
    [{ present: [{ ...good, checksum: { value: "abc" } }] }, `present ${one} a non-SHA1 checksum value`],
    [
      { present: [{ ...good, checksum: { value: "z".repeat(40) } }] },
      `present ${one} a non-SHA1 checksum value`,
    ],
    [{ present: [{ ...good, size_in_bytes: 1.5 }] }, `present ${one} a non-integer size_in_bytes`],
    [{ present: [{ ...good, size_in_bytes: 2 ** 53 }] }, `present ${one} a non-integer size_in_bytes`],
    [
      {
        present: [
          { ...good, size_in_bytes: -1 },
          { ...good, size_in_bytes: -2 },
        ],
        removed: ["x"],
      },
      `present ${one} a negative size_in_bytes, removed array contains at least one non-object resource`,
    ],
    [{ removed: [{ checksum: { value: "abc" } }] }, `removed ${one} a non-SHA1 checksum value`],
  ])("returns 422 and names each violation in %j", async (body, detail) => {
    const response = await call(["POST", "/observations"], { body });
    expect(response.status).toBe(422);
    await expectDocumented(OBSERVATIONS, response, {
      sent: typeof body === "string" ? body : JSON.stringify(body),
    });
    expect(await readDetail(response)).toBe(detail);
    expect(await listCatalog()).toEqual([]);
  });

  it.each([
    [400, "a body that is not JSON", "{"],
    [400, "an empty body", ""],
    [400, "a body that is not UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    [413, "a body of more than 15 MiB", " ".repeat(BODY_MAX_BYTES + 1)],
  ])("returns %i for %s", async (status, _, body) => {
    expect((await call(["POST", "/observations"], { body })).status).toBe(status);
  });
});

describe("GET resources", () => {
  beforeEach(() => reset());

  it("lists pages of 10,000 resources in the order of their SHA-1s", async () => {
    const present = Array.from({ length: 20_001 }, (_, index) => resource(20_000 - index));
    await report({ present });
    const resources: SentResource[] = [];
    const pages: number[] = [];
    let after: string | undefined;
    do {
      const response = await call(["GET", `/resources${after ? `?after=${after.toUpperCase()}` : ""}`]);
      const page = await response.json<{ resources: SentResource[]; after?: string }>();
      resources.push(...page.resources);
      pages.push(page.resources.length);
      after = page.after;
    } while (after !== undefined);
    expect(pages).toEqual([10_000, 10_000, 1]);
    expect(resources.map(keyOf)).toEqual(present.map(keyOf).reverse());
  });

  it("returns 422 when after is not a SHA-1", async () => {
    const response = await call(["GET", "/resources?after=abc"]);
    expect(response.status).toBe(422);
    expect(await readDetail(response)).toBe("after must be a SHA-1 of 40 hex digits");
  });
});

describe("GET cache", () => {
  beforeEach(() => reset());

  it("returns the state of the catalog, the version, the checks and the configuration", async () => {
    await report({ present: [resource(1), resource(2)], removed: [resource(3)] });
    const response = await call(["GET", ""], {
      bindings: { MINIMUM_FILE_MODE: "600", MINIMUM_SIZE: "1", KEYS_PER_DAY: "500", CLOUD_CONTROLLER_URL },
    });
    expect(await response.json()).toEqual({
      version: packageJson.version,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      entries: 2,
      keys_waiting: 2,
      removals: 1,
      dirty_since: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      published: null,
      snapshot: null,
      suspended_until: null,
      forgotten_at: null,
      removed_since_suspension: 0,
      last_hour: { requests: 0, eligible: 0, matched: 0, matched_by_cache: 0, failed_open: 0 },
      checks: [
        { name: "matching", level: "ok", text: "Matching is on." },
        { name: "catalog", level: "ok", text: "The catalog has 2 resources." },
        { name: "manifest", level: "warn", text: expect.stringMatching(/^Nothing is published yet\./) },
        { name: "snapshot", level: "warn", text: expect.stringMatching(/^There is no snapshot yet\./) },
        {
          name: "keys",
          level: "ok",
          text: "2 keys left to write, at most 500 a day. The snapshot matches without them.",
        },
        { name: "suspension", level: "ok", text: "The cache is not suspended." },
        {
          name: "last hour",
          level: "ok",
          text: "This isolate received no eligible resources in the last hour.",
        },
      ],
      refused: { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 },
      configuration: {
        UAA_URL: "https://uaa.example.com",
        UAA_ISSUER: "https://uaa.example.com/oauth/token",
        UAA_AUDIENCE: "cloud_controller",
        FEATURE_RESOURCE_MATCHING: true,
        FEATURE_APP_BITS_UPLOAD: true,
        MINIMUM_SIZE: 1,
        MAXIMUM_SIZE: 536870912,
        MINIMUM_FILE_MODE: "0600",
        KEY_PREFIX: "",
        CLOUD_CONTROLLER_URL: true,
        MODE: "answer",
        LOOKUP_DEADLINE_MS: 8000,
        KV_CACHE_TTL: 60,
        KEYS_PER_DAY: 500,
        DATA_JURISDICTION: null,
        CATALOG_LOCATION: null,
        POOL_BUCKET: true,
        RATE_LIMITER: false,
        METRICS: false,
      },
    });
  });

  it("returns the manifest, the snapshot and the suspension", async () => {
    const [at, built_at] = ["2026-11-24T12:00:00.000Z", "2026-11-24T11:00:00.000Z"];
    const published = { at, delta: { added: 2, removed: 1 } };
    const snapshot = { id: "abc", entries: 7, parts: 1, built_at };
    const suspended_until = "2026-11-24T12:10:00.000Z";
    const figures = {
      entries: 9,
      keys_waiting: 0,
      removals: 0,
      dirty_since: null,
      forgotten_at: null,
      removed_since_suspension: 4,
      refused: noRefusals(),
    };
    const status = async () => ({ ...figures, published, snapshot, suspended_until });
    const bindings = { CATALOG: { getByName: () => ({ status }) } };
    expect(await (await call(["GET", ""], { bindings })).json()).toMatchObject({
      published,
      snapshot,
      suspended_until,
      removed_since_suspension: 4,
    });
  });
});

describe("the checks of GET cache", () => {
  const [MINUTE_MS, HOUR_MS] = [60_000, 3_600_000];
  const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
  const SUSPENDED_UNTIL = ago(-7.5 * MINUTE_MS);
  const HEALTHY = {
    entries: 9,
    keys_waiting: 0,
    removals: 0,
    refused: noRefusals(),
    published: { at: ago(2 * 60_000), delta: { added: 0, removed: 0 } },
    snapshot: { id: "abc", entries: 9, parts: 1, built_at: ago(5 * HOUR_MS) },
    suspended_until: null,
    forgotten_at: null,
    removed_since_suspension: 0,
    dirty_since: null,
  };
  async function checksOf(changes: object, bindings: Record<string, unknown> = {}) {
    const status = async () => ({ ...HEALTHY, ...changes });
    const response = await call(["GET", ""], {
      bindings: { CATALOG: { getByName: () => ({ status }) }, ...bindings },
    });
    const { checks } = await response.json<CacheStatus>();
    return checks;
  }

  it("returns only ok checks for a healthy cache", async () => {
    const checks = await checksOf({});
    expect(checks.map(({ level, text }) => `${level}: ${text}`)).toEqual([
      "ok: Matching is on.",
      "ok: The catalog has 9 resources.",
      "ok: The manifest was written 2 min ago.",
      "ok: The snapshot of 9 resources was built 5 h ago.",
      "ok: All keys are written.",
      "ok: The cache is not suspended.",
      "ok: This isolate received no eligible resources in the last hour.",
    ]);
  });

  it("returns texts for an empty cache that do not count nothing", async () => {
    const empty = { entries: 0, published: null, snapshot: null };
    const checks = await checksOf(empty, { CLOUD_CONTROLLER_URL });
    expect(checks.map(({ level, text }) => `${level}: ${text}`)).toEqual([
      "ok: Matching is on.",
      expect.stringMatching(/^warn: The catalog is empty/),
      "ok: There is nothing to publish.",
      "ok: There is nothing to pack.",
      "ok: There are no keys to write.",
      "ok: The cache is not suspended.",
      "ok: This isolate received no eligible resources in the last hour.",
    ]);
    const emptied = await checksOf({ entries: 0, snapshot: { ...HEALTHY.snapshot, entries: 0 } });
    expect(emptied.find(({ name }) => name === "snapshot")?.text).toBe("There is nothing to pack.");
  });

  it("returns no warning while a change waits for less than two minutes", async () => {
    const checks = await checksOf({ dirty_since: ago(110_000) });
    expect(checks.filter(({ level }) => level !== "ok")).toEqual([]);
    expect(checks[2]?.text).toBe("The manifest was written 2 min ago. Newer changes follow within seconds.");
  });

  it.each<[string, string, object, RegExp, Record<string, unknown>?]>([
    ["matching", "warn", {}, /pushes upload every file/, { FEATURE_RESOURCE_MATCHING: "false" }],
    ["matching", "warn", {}, /The cache is only compared/, { MODE: "shadow", CLOUD_CONTROLLER_URL }],
    [
      "matching",
      "warn",
      {},
      /The Cloud Controller responds to every push\. .*not compared with it, and its matches are not recorded/,
      { MODE: "shadow", FEATURE_RESOURCE_MATCHING: "false", CLOUD_CONTROLLER_URL },
    ],
    [
      "catalog",
      "warn",
      { entries: 0 },
      /resource-pool sync.* or set CLOUD_CONTROLLER_URL and let pushes fill it/,
    ],
    ["catalog", "warn", { entries: 0 }, /`import`, or let pushes fill it\.$/, { CLOUD_CONTROLLER_URL }],
    [
      "manifest",
      "warn",
      { published: null, dirty_since: ago(0) },
      /takes a few seconds.*catalog-step-failed/,
    ],
    ["manifest", "warn", { dirty_since: ago(2 * MINUTE_MS) }, /change is 2 min old; .*catalog-step-failed/],
    [
      "manifest",
      "fail",
      { dirty_since: ago(10 * MINUTE_MS) },
      /written 2 min ago\. .*10 min old\. .*may still be matched.*catalog-step-failed.*resource-pool publish/,
    ],
    [
      "manifest",
      "fail",
      { published: null, dirty_since: ago(HOUR_MS) },
      /^Nothing is published yet\. .*60 min old\. /,
    ],
    [
      "manifest",
      "fail",
      { published: { ...HEALTHY.published, at: ago(3 * HOUR_MS) } },
      /3 h ago, .*still be matched/,
    ],
    [
      "manifest",
      "fail",
      { published: { ...HEALTHY.published, at: ago(50 * HOUR_MS) } },
      /2 days ago\. .*the cache matches nothing/,
    ],
    ["snapshot", "warn", { snapshot: { ...HEALTHY.snapshot, built_at: ago(27 * HOUR_MS) } }, /due every day/],
    ["keys", "warn", { keys_waiting: 5, entries: 7_000_000 }, /Raise KEYS_PER_DAY/],
    [
      "suspension",
      "fail",
      { suspended_until: SUSPENDED_UNTIL },
      /^The cache is suspended until \d{4}-\S+Z, because .*If the pool was wiped, .*`resource-pool forget --yes`.*ends the suspension.*`sync --prune --yes`.*resource_matching/,
    ],
    [
      "suspension",
      "warn",
      { suspended_until: SUSPENDED_UNTIL, removed_since_suspension: 1_234 },
      /^The cache is suspended until \d{4}-\S+Z, because .* Since it began, 1,234 resources were removed from the cache\. If the pool has lost no others, there is nothing more to do: the suspension ends by itself\.$/,
    ],
  ])(
    "returns the check %s as %s with what to do for %j",
    async (name, level, changes, text, bindings = {}) => {
      const checks = await checksOf(changes, bindings);
      expect(checks.filter((check) => check.level !== "ok")).toEqual([
        { name, level, text: expect.stringMatching(text) },
      ]);
    },
  );
});

describe("the last hour of GET cache", () => {
  beforeEach(async () => {
    await reset();
    replaceIsolate();
  });

  const status = async (use = send) => {
    const options = { method: "GET", url: CACHE, token: await signTokenWith("admin") };
    return (await use(undefined, options)).json<CacheStatus>();
  };

  it("counts the requests, eligible resources and matches of this isolate in the last hour", async () => {
    await fillCache(resource(1));
    const tooLarge = resource(3, { size_in_bytes: 2 ** 40 });
    expect((await send({ resources: [resource(1), resource(2), tooLarge] })).status).toBe(201);
    await send({ resources: [resource(1)] });
    await send({ resources: [] });
    const { last_hour: hour, checks } = await status();
    expect(hour).toEqual({ requests: 2, eligible: 3, matched: 2, matched_by_cache: 2, failed_open: 0 });
    expect(checks.at(-1)?.text).toBe(
      "In the last hour the cache matched 66.7 % (2 of 3) of the eligible resources that this isolate received in 2 requests.",
    );
    advanceClock(59 * 60_000);
    await send({ resources: [resource(1)] }, { token: await signToken({ exp: 2 ** 33 }) });
    expect((await status()).last_hour.requests).toBe(3);
    advanceClock(60_000);
    expect((await status()).last_hour.requests).toBe(1);
  });

  it("counts a match that the Cloud Controller verified in a suspected retry as the cache's", async () => {
    fakeCloudController(respondWithMatches(() => true));
    await fillCache(resource(1));
    const isolate = { ...env, CLOUD_CONTROLLER_URL };
    const token = await signToken();
    for (let request = 0; request < 2; request++)
      await sendWithEnv(isolate, { resources: [resource(1)] }, { token });
    const { last_hour: hour } = await status((...request) => sendWithEnv(isolate, ...request));
    expect(hour).toMatchObject({ requests: 2, matched: 2, matched_by_cache: 2 });
  });

  it("shows the matches of the cache apart from those of the Cloud Controller", async () => {
    fakeCloudController(respondWithMatches(() => true));
    await fillCache(resource(1));
    const isolate = { ...env, CLOUD_CONTROLLER_URL };
    const sendToIsolate: typeof send = (...request) => sendWithEnv(isolate, ...request);
    await sendToIsolate({ resources: [1, 2, 3, 4].map((size) => resource(size)) });
    const { last_hour: hour, checks } = await status(sendToIsolate);
    expect(hour).toMatchObject({ eligible: 4, matched: 4, matched_by_cache: 1 });
    expect(checks.at(-1)?.text).toBe(
      "In the last hour the cache matched 25.0 % (1 of 4) of the eligible resources that this isolate received in 1 request. " +
        "With the Cloud Controller's matches it was 100.0 %.",
    );
  });
});

it("counts no requests of shadow mode in the last hour", async () => {
  fakeCloudController(respondWithMatches(() => true));
  const isolate = { ...env, MODE: "shadow", CLOUD_CONTROLLER_URL };
  expect((await sendWithEnv(isolate, { resources: [resource(1)] })).status).toBe(201);
  const options = { method: "GET", url: CACHE, token: await signTokenWith("admin") };
  const response = await sendWithEnv(isolate, undefined, options);
  const { last_hour: hour, checks } = await response.json<CacheStatus>();
  expect(hour).toEqual({ requests: 0, eligible: 0, matched: 0, matched_by_cache: 0, failed_open: 0 });
  expect(checks.at(-1)).toEqual({
    name: "last hour",
    level: "ok",
    text: expect.stringMatching(/^MODE is shadow, .*`shadowed`/),
  });
});

describe("POST publication and DELETE", () => {
  beforeEach(() => reset());

  it("publishes everything again after POST publication, and returns the status from before", async () => {
    await report({ present: [resource(1)] });
    const response = await call(["POST", "/publication"]);
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({
      entries: 1,
      keys_waiting: 1,
      dirty_since: expect.any(String),
      published: null,
    });
  });

  it("removes all resources after DELETE, and refuses observations from before (R1.3)", async () => {
    await report({ present: [resource(1), resource(2)] });
    const response = await call(["DELETE", ""]);
    expect(response.status).toBe(204);
    expect(await response.text()).toBe("");
    expect(await listCatalog()).toEqual([]);
    expect(await report({ seconds_ago: 5, present: [resource(1)] })).toMatchObject({
      refused: { "too-old": 1 },
    });
  });
});

describe("a catalog that is unavailable", () => {
  const brokenCatalog = (method: () => Promise<never>) => ({
    CATALOG: { getByName: () => new Proxy({}, { get: () => method }) },
  });
  const detail = "The resource cache's catalog is currently unavailable";

  it.each([...READS, ...WRITES])(
    "returns 503 and logs the cause if the catalog is unavailable: %s %s",
    async (...route) => {
      const logs = collectLogs();
      const bindings = brokenCatalog(() => Promise.reject(new Error("Durable Object is overloaded")));
      const response = await call(route, { bindings });
      expect(response.status).toBe(503);
      expect(await readDetail(response)).toBe(detail);
      expect(logs).toContainEqual(expect.objectContaining({ reason: "Error: Durable Object is overloaded" }));
    },
  );

  it("returns 503 when the catalog does not respond within ten seconds (R2.2)", async () => {
    const realTimeout = AbortSignal.timeout.bind(AbortSignal);
    // A deadline starts its timer late, so that some of the ten seconds may have passed.
    const isTenSeconds = (ms: number) => ms > 9_000 && ms <= 10_000;
    const timeout = vi
      .spyOn(AbortSignal, "timeout")
      .mockImplementation((ms) => realTimeout(isTenSeconds(ms) ? 10 : ms));
    const response = await call(["GET", ""], { bindings: brokenCatalog(() => new Promise(() => {})) });
    expect(await readDetail(response)).toBe(detail);
    expect(timeout.mock.calls.some(([ms]) => isTenSeconds(ms))).toBe(true);
  });

  it("returns 201 to a push if the catalog is unavailable (R2.1)", async () => {
    await fillCache(resource(1));
    const bindings = brokenCatalog(() => Promise.reject(new Error("down")));
    expect((await sendWith(bindings, { resources: [resource(1)] })).status).toBe(201);
  });
});
