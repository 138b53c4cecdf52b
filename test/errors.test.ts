import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { BODY_MAX_BYTES, NON_CANONICAL_MAX_BYTES } from "../src/platform-limits.ts";
import { expectDocumented } from "./support/documented.ts";
import { collectLogs } from "./support/logs.ts";
import { signToken } from "./support/tokens.ts";
import { ENDPOINT, resource, send, sendWith } from "./support/worker.ts";

const BODY = { resources: [resource(1)] };
const reader = () => signToken({ scope: ["cloud_controller.read"] });
const admin = () => signToken({ scope: ["cloud_controller.admin"] });

function envelope(detail: string, title: string, code: number): string {
  return JSON.stringify({ errors: [{ detail, title, code }] });
}

const PARSE_ERROR = envelope(
  "Request invalid due to parse error: invalid request body",
  "CF-MessageParseError",
  1001,
);
const NOT_AUTHENTICATED = envelope("Authentication error", "CF-NotAuthenticated", 10002);
const INVALID_TOKEN = envelope("Invalid Auth Token", "CF-InvalidAuthToken", 1000);
const NOT_AUTHORIZED = envelope(
  "You are not authorized to perform the requested action",
  "CF-NotAuthorized",
  10003,
);
const FEATURE_DISABLED = envelope("Feature Disabled: app_bits_upload", "CF-FeatureDisabled", 330002);
const NOT_FOUND = envelope("Unknown request", "CF-NotFound", 10000);
const TOO_LARGE = envelope("Bad request: the body is larger than 15728640 bytes", "CF-BadRequest", 1004);
const NOT_CANONICAL = envelope(
  "Bad request: the body is too large for JSON that is not in canonical form, which is limited to 4194304 bytes and " +
    "100000 commas and opening brackets",
  "CF-BadRequest",
  1004,
);
const RATE_LIMITED = envelope("Rate Limit Exceeded", "CF-RateLimitExceeded", 10013);
const UNKNOWN = envelope("An unknown error occurred.", "UnknownError", 10001);
const UAA_UNAVAILABLE = envelope("The UAA service is currently unavailable", "CF-ServiceUnavailable", 10015);

/** Expects exactly this body, and the headers of every response. */
async function expectEnvelope(response: Response, status: number, text: string): Promise<void> {
  expect(await response.clone().text()).toBe(text);
  expect(response.status).toBe(status);
  expect(response.headers.get("Content-Type")).toBe("application/json; charset=utf-8");
  expect(response.headers.get("X-Vcap-Request-Id")).toMatch(/^[0-9a-f-]{36}$/);
  expect(response.headers.has("Location")).toBe(false);
  // A request without an operation is not in the OpenAPI document.
  if (status !== 404) await expectDocumented({ method: "POST", url: ENDPOINT }, response);
}

/** A body without Content-Length that counts how many of its bytes are read. */
function streamedBody(totalBytes: number, filler = " ") {
  const chunk = new TextEncoder().encode(filler.repeat(64 * 1024));
  const progress = { bytes: 0, cancelled: false };
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const rest = totalBytes - progress.bytes;
      if (rest === 0) return controller.close();
      controller.enqueue(chunk.slice(0, rest));
      progress.bytes += Math.min(chunk.byteLength, rest);
    },
    cancel() {
      progress.cancelled = true;
    },
  });
  return { stream, progress };
}

afterEach(() => vi.restoreAllMocks());

describe("a failure, in Cloud Foundry's envelope", () => {
  it.each(['{"resources":[', "resources=1", " ", "\ufeff{}", "NaN"])(
    "returns 400 for a body that is not JSON: %j (R2.4)",
    async (body) => {
      await expectEnvelope(await send(body), 400, PARSE_ERROR);
    },
  );

  it("returns 400 for a body that is not UTF-8 (R2.4)", async () => {
    const text = JSON.stringify({ resources: [resource(1, { path: "caf?" })] });
    const latin1 = Uint8Array.from(text, (character) => (character === "?" ? 0xe9 : character.charCodeAt(0)));
    await expectEnvelope(await send(latin1), 400, PARSE_ERROR);
  });

  it("returns 401 without an Authorization header", async () => {
    await expectEnvelope(await send(BODY, { token: null }), 401, NOT_AUTHENTICATED);
  });

  it.each(["Basic YTpi", "Token abc", "eyJhbGciOiJSUzI1NiJ9.e30.x"])(
    "returns 401 for an Authorization header that is not Bearer: %s",
    async (value) => {
      await expectEnvelope(
        await send(BODY, { token: null, headers: { Authorization: value } }),
        401,
        NOT_AUTHENTICATED,
      );
    },
  );

  it("returns 401 for an invalid token", async () => {
    await expectEnvelope(await send(BODY, { token: "garbage" }), 401, INVALID_TOKEN);
  });

  it("returns 403 without a scope that allows the request", async () => {
    await expectEnvelope(await send(BODY, { token: await reader() }), 403, NOT_AUTHORIZED);
  });

  it("returns 403 if app_bits_upload is off, except to an admin", async () => {
    const off = { FEATURE_APP_BITS_UPLOAD: "false" };
    await expectEnvelope(await sendWith(off, BODY), 403, FEATURE_DISABLED);
    expect((await sendWith(off, BODY, { token: await admin() })).status).toBe(201);
  });

  it.each([
    ["GET", ENDPOINT],
    ["HEAD", ENDPOINT],
    ["PUT", ENDPOINT],
    ["OPTIONS", ENDPOINT],
    ["POST", "https://api.example.com/v3/resource_match"],
    ["POST", "https://api.example.com/v3/resource_matches/1"],
    ["POST", "https://api.example.com/V3/RESOURCE_MATCHES"],
    ["GET", "https://api.example.com/"],
    ["GET", "https://api.example.com/%ff%00?a[]=%"],
  ])("returns 404 for another method or path: %s %s", async (method, url) => {
    const response = await send(undefined, { method, url, token: null });
    await expectEnvelope(response, 404, NOT_FOUND);
  });

  it("returns 413 if the body exceeds 15 MiB, and accepts 15 MiB in canonical form", async () => {
    const withPaths = (bytes: number) => {
      const head = '{"resources":[';
      const each = `${JSON.stringify(resource(1, { path: "x".repeat(4_000) }))},`;
      const count = Math.floor((bytes - 5_000) / each.length);
      const start = head + each.repeat(count);
      const rest = JSON.stringify(resource(1, { path: "" }));
      const path = "x".repeat(bytes - start.length - rest.length - 2);
      return `${start}${JSON.stringify(resource(1, { path }))}]}`;
    };
    await expectEnvelope(await send(withPaths(BODY_MAX_BYTES + 1)), 413, TOO_LARGE);
    expect((await send(withPaths(BODY_MAX_BYTES))).status).toBe(201);
  });

  it("returns 413 if a body that is not in canonical form exceeds 4 MiB", async () => {
    await expectEnvelope(await send(" ".repeat(NON_CANONICAL_MAX_BYTES + 1)), 413, NOT_CANONICAL);
    await expectEnvelope(await send(" ".repeat(NON_CANONICAL_MAX_BYTES)), 400, PARSE_ERROR);
  });

  it("returns 413 if a body that is not in canonical form has more than 100,000 commas and opening brackets", async () => {
    await expectEnvelope(await send(`${"[,{".repeat(33_333)}[[`), 413, NOT_CANONICAL);
    await expectEnvelope(await send(`${"[,{".repeat(33_333)}[`), 400, PARSE_ERROR);
  });

  it("returns 413 and stops reading once a body without Content-Length exceeds 15 MiB", async () => {
    const { stream, progress } = streamedBody(10 * BODY_MAX_BYTES);
    await expectEnvelope(await sendWith({}, stream), 413, TOO_LARGE);
    expect(progress.cancelled).toBe(true);
    expect(progress.bytes).toBeLessThan(BODY_MAX_BYTES + 1024 * 1024);
  });

  it("returns 429 with Retry-After to a user over the rate limit, but not to other users", async () => {
    const limited = { RATE_LIMITER: env.TEST_RATE_LIMITER };
    const token = await signToken({ user_id: "one" });
    for (const status of [201, 201]) expect((await sendWith(limited, BODY, { token })).status).toBe(status);
    const refused = await sendWith(limited, BODY, { token });
    expect(refused.headers.get("Retry-After")).toBe("60");
    await expectEnvelope(refused, 429, RATE_LIMITED);
    const other = await signToken({ user_id: "another" });
    expect((await sendWith(limited, BODY, { token: other })).status).toBe(201);
  });

  it("returns 500 to every request if a variable is wrong, and only logs the variable", async () => {
    const logs = collectLogs();
    await expectEnvelope(await sendWith({ KV_CACHE_TTL: "soon" }, BODY), 500, UNKNOWN);
    await expectEnvelope(
      await sendWith({ KV_CACHE_TTL: "soon" }, undefined, { method: "GET" }),
      500,
      UNKNOWN,
    );
    expect(logs).toContainEqual(expect.objectContaining({ variable: "KV_CACHE_TTL", value: "soon" }));
  });

  it("returns 500 for a bug, and only logs the cause", async () => {
    const logs = collectLogs();
    const request = vi.spyOn(Request.prototype, "body", "get").mockImplementation(() => {
      throw new TypeError("a bug");
    });
    const response = await sendWith({}, undefined);
    request.mockRestore();
    await expectEnvelope(response, 500, UNKNOWN);
    expect(logs).toContainEqual(expect.objectContaining({ event: "unexpected", cause: "TypeError: a bug" }));
  });

  it("returns 503 if UAA's keys can't be fetched", async () => {
    await expectEnvelope(await sendWith({ UAA_URL: "https://down.example.com" }, BODY), 503, UAA_UNAVAILABLE);
  });
});

describe("the order of the checks", () => {
  it.each([
    [
      "checks the size of the body before the token",
      { token: "garbage" },
      " ".repeat(BODY_MAX_BYTES + 1),
      413,
    ],
    ["checks the token before the body", { token: "garbage" }, "{", 401],
    ["checks JSON before the resources", {}, '{"resources":[1', 400],
  ])("%s", async (_, sent, body, status) => {
    expect((await send(body, sent)).status).toBe(status);
  });

  it("checks the scope before app_bits_upload, and both before the body", async () => {
    const off = { FEATURE_APP_BITS_UPLOAD: "false" };
    await expectEnvelope(await sendWith(off, "{", { token: await reader() }), 403, NOT_AUTHORIZED);
    await expectEnvelope(await sendWith(off, "{"), 403, FEATURE_DISABLED);
  });

  it("validates the body even if resource_matching is off", async () => {
    const off = { FEATURE_RESOURCE_MATCHING: "false" };
    expect((await sendWith(off, "{}")).status).toBe(422);
    const response = await sendWith(off, BODY);
    expect(response.status).toBe(201);
    expect(await response.text()).toBe('{"resources":[]}');
  });
});
