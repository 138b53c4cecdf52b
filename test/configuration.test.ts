import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { configurationOf } from "../src/configuration.ts";
import { Failure } from "../src/failure.ts";
import { collectLogs } from "./support/logs.ts";
import { putManifestIfMissing } from "./support/manifest.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController } from "./support/origin.ts";
import { signToken } from "./support/tokens.ts";
import { fillCache, matchedPaths, resource, sendWith, sendWithEnv } from "./support/worker.ts";

const BODY = { resources: [resource(1)] };

afterEach(() => vi.restoreAllMocks());

describe("a wrong variable or binding", () => {
  const notUrls = [
    "",
    "uaa.example.com",
    "http://uaa.example.com",
    "ftp://uaa",
    "https://uaa?x=1",
    "https://a#b",
    7,
  ];
  const notFlags = ["", "yes", "TRUE", "1", 0, null];
  const notSizes = ["", "-1", "1.5", "1e3", "10MB", "9007199254740992", -1, true, null];
  const wrong: Record<string, unknown[]> = {
    RESOURCE_CACHE: [undefined, null, "namespace", {}],
    CATALOG: [undefined, null, "object", {}],
    PUSH_SESSIONS: [undefined, null, "object", {}],
    UAA_URL: [undefined, ...notUrls],
    UAA_ISSUER: ["", 7, null],
    UAA_AUDIENCE: ["", 7, null],
    FEATURE_RESOURCE_MATCHING: notFlags,
    FEATURE_APP_BITS_UPLOAD: notFlags,
    MINIMUM_SIZE: [...notSizes, "536870913"],
    MAXIMUM_SIZE: notSizes,
    MINIMUM_FILE_MODE: ["", "0o600", "8", "rw-", "00600", 384, null],
    KEY_PREFIX: ["x".repeat(401), "ü".repeat(201), null, {}],
    CLOUD_CONTROLLER_URL: [...notUrls, null],
    MODE: ["", "shadow", "Answer", true, null],
    LOOKUP_DEADLINE_MS: ["", "0", "60001", "8s", null],
    KV_CACHE_TTL: ["", "29", "86401", "60s", null],
    KEYS_PER_DAY: ["", "-1", "many", "100000001", null],
    DATA_JURISDICTION: ["", "EU", "de", "fedramp-high", null],
    CATALOG_LOCATION: ["", "eu", "WEUR", "frankfurt", null],
    POOL_BUCKET: [null, "bucket", {}],
    RATE_LIMITER: [null, "limit", {}],
    METRICS: [null, "dataset", {}],
  };
  const rows = Object.entries(wrong).flatMap(([name, values]) =>
    values.map((value) => [name, value] as const),
  );

  it.each(rows)("responds with 500 and logs the variable if %s is %j", async (variable, value) => {
    const logs = collectLogs();
    const response = await sendWith({ [variable]: value }, BODY);
    expect(response.status).toBe(500);
    const line = logs.find(({ event }) => event === "misconfigured");
    expect(line).toMatchObject({ level: "error", variable, expected: expect.stringMatching(/.{6,}/) });
    const plain = typeof value === "object" ? "object" : value === undefined ? "missing" : value;
    if (!String(value).includes("?") && !String(value).includes("#")) expect(line?.value).toBe(plain);
  });

  // With a Cloud Controller, shadow mode is valid.
  const wrongOnes = rows.filter(([name, value]) => name !== "CLOUD_CONTROLLER_URL" && value !== "shadow");
  it.each(wrongOnes)(
    "returns the Cloud Controller's response if %s is %j (R2.6)",
    async (variable, value) => {
      const logs = collectLogs();
      const requests = fakeCloudController(() => new Response("from the Cloud Controller", { status: 201 }));
      const variables = { MODE: "answer", CLOUD_CONTROLLER_URL, [variable]: value };
      const response = await sendWith(variables, BODY);
      expect([response.status, await response.text()]).toEqual([201, "from the Cloud Controller"]);
      expect(await requests[0]?.json()).toEqual(BODY);
      expect(logs).toContainEqual(expect.objectContaining({ event: "misconfigured", variable }));
      expect(logs).toContainEqual(expect.objectContaining({ event: "failed-open", reason: "misconfigured" }));
    },
  );

  it("does not pass the operator API through if a variable is wrong", async () => {
    const requests = fakeCloudController(() => new Response("ok"));
    const variables = { CLOUD_CONTROLLER_URL, KV_CACHE_TTL: "soon" };
    const url = "https://api.example.com/v3/resource_matches/cache";
    expect((await sendWith(variables, undefined, { method: "GET", url })).status).toBe(500);
    expect(requests).toEqual([]);
  });

  it("logs every wrong variable at once", async () => {
    const logs = collectLogs();
    await sendWith({ UAA_URL: undefined, KV_CACHE_TTL: "1", MINIMUM_SIZE: "x" }, BODY);
    const named = logs.filter(({ event }) => event === "misconfigured").map(({ variable }) => variable);
    expect(named.sort()).toEqual(["KV_CACHE_TTL", "MINIMUM_SIZE", "UAA_URL"]);
  });

  it("keeps credentials and queries of URLs out of the log", async () => {
    const logs = collectLogs();
    await sendWith({ UAA_URL: "https://admin:s3cret@uaa.example.com" }, BODY);
    await sendWith({ UAA_URL: "https://uaa.example.com/?token=s3cret" }, BODY);
    await sendWith({ CLOUD_CONTROLLER_URL: "https://api.example.com/#s3cret" }, BODY);
    expect(logs.filter(({ event }) => event === "misconfigured")).toHaveLength(3);
    expect(JSON.stringify(logs)).not.toContain("s3cret");
  });
});

describe("a variable at its limits", () => {
  it.each([
    ["UAA_URL", "http://localhost:8788"],
    ["UAA_URL", "http://127.0.0.1:8788/"],
    ["UAA_URL", "https://example.com/uaa"],
    ["UAA_ISSUER", "x"],
    ["UAA_AUDIENCE", "x"],
    ["FEATURE_RESOURCE_MATCHING", "true"],
    ["FEATURE_RESOURCE_MATCHING", true],
    ["FEATURE_APP_BITS_UPLOAD", false],
    ["MINIMUM_SIZE", "0"],
    ["MINIMUM_SIZE", "536870912"],
    ["MINIMUM_SIZE", 1],
    ["MAXIMUM_SIZE", "0"],
    ["MAXIMUM_SIZE", "9007199254740991"],
    ["MINIMUM_FILE_MODE", "0"],
    ["MINIMUM_FILE_MODE", "7777"],
    ["KEY_PREFIX", ""],
    ["KEY_PREFIX", "x".repeat(400)],
    ["CLOUD_CONTROLLER_URL", "https://api.example.com"],
    ["MODE", "answer"],
    ["LOOKUP_DEADLINE_MS", "1"],
    ["LOOKUP_DEADLINE_MS", "60000"],
    ["KV_CACHE_TTL", "30"],
    ["KV_CACHE_TTL", 86400],
    ["KEYS_PER_DAY", 0],
    ["KEYS_PER_DAY", "100000000"],
    ["DATA_JURISDICTION", "eu"],
    ["DATA_JURISDICTION", "us"],
    ["DATA_JURISDICTION", "fedramp"],
    ["CATALOG_LOCATION", "wnam"],
    ["CATALOG_LOCATION", "me"],
  ])("accepts the variable %s = %j", (variable, value) => {
    expect(configurationOf({ ...env, [variable]: value })).not.toBeInstanceOf(Failure);
  });
});

describe("an absent variable", () => {
  it("uses the documented default for an absent variable", () => {
    const { RESOURCE_CACHE, CATALOG, PUSH_SESSIONS } = env;
    expect(
      configurationOf({ RESOURCE_CACHE, CATALOG, PUSH_SESSIONS, UAA_URL: "https://uaa.example.com/" }),
    ).toMatchObject({
      keyPrefix: "",
      kvCacheTtl: 60,
      keysPerDay: 500,
      mode: "answer",
      foundation: "uaa.example.com",
      lookupDeadlineMs: 8000,
      uaa: {
        url: "https://uaa.example.com",
        issuer: "https://uaa.example.com/oauth/token",
        audience: "cloud_controller",
      },
      features: { resourceMatching: true, appBitsUpload: true },
      eligibility: { minimumSize: 0, maximumSize: 536870912, minimumFileMode: undefined },
    });
  });
});

describe("the configuration", () => {
  it("decodes the configuration once per env object", () => {
    const bindings = { ...env };
    expect(configurationOf(bindings)).toBe(configurationOf(bindings));
    expect(configurationOf({ ...env })).not.toBe(configurationOf(bindings));
  });

  it("accepts only tokens of UAA_ISSUER for UAA_AUDIENCE", async () => {
    const bindings = { ...env, UAA_ISSUER: "https://login.example.com", UAA_AUDIENCE: "cc" };
    const token = await signToken({ iss: "https://login.example.com", aud: ["cc"] });
    expect((await sendWithEnv(bindings, BODY, { token })).status).toBe(201);
    expect((await sendWithEnv(bindings, BODY)).status).toBe(401);
  });

  it("matches only keys with KEY_PREFIX, so that foundations can share a namespace", async () => {
    await fillCache(resource(1));
    await putManifestIfMissing(env.RESOURCE_CACHE, "other/");
    await env.RESOURCE_CACHE.put(`other/${resource(2).checksum.value}:3`, "1");
    const body = { resources: [resource(1), resource(2)] };
    expect(await matchedPaths(await sendWith({}, body))).toEqual(["src/1.js"]);
    expect(await matchedPaths(await sendWith({ KEY_PREFIX: "other/" }, body))).toEqual(["src/2.js"]);
  });
});
