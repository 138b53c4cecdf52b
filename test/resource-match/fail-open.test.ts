import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { UaaKeys } from "../../src/auth/uaa-keys.ts";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { MatchRequest } from "../../src/resource-match/match-request.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController } from "../support/origin.ts";
import { createClaims, generateRsaKeys, signRawToken, signToken } from "../support/tokens.ts";
import { ENDPOINT, fillCache, resource, sendWithEnv } from "../support/worker.ts";

const BODY = { resources: [resource(1)] };
const FROM_CLOUD_CONTROLLER = '{ "resources": [ ] }';

let logs: Record<string, unknown>[];
let requests: Request[];
/** One isolate for each test. */
let isolate: object;

beforeEach(async () => {
  logs = collectLogs();
  requests = fakeCloudController(() => new Response(FROM_CLOUD_CONTROLLER, { status: 201 }));
  isolate = { ...env, CLOUD_CONTROLLER_URL };
});
afterEach(() => vi.restoreAllMocks());

const push = (headers: Record<string, string> = {}, token?: string, body: object = BODY) =>
  sendWithEnv(isolate, body, { headers, ...(token === undefined ? {} : { token }) });

/** The headers of a cf CLI that identifies its push. */
const identified = (traceId = crypto.randomUUID().replaceAll("-", "")) => ({
  "User-Agent": "cf/8.18.4+abc.2026-01-01 (go1.26.1; amd64 linux)",
  "X-B3-TraceId": traceId,
});

async function expectFailedOpen(response: Response, reason: RegExp): Promise<void> {
  expect([response.status, await response.text()]).toEqual([201, FROM_CLOUD_CONTROLLER]);
  expect(await requests.at(-1)?.json()).toEqual(BODY);
  expect(logs).toContainEqual(
    expect.objectContaining({ event: "failed-open", reason: expect.stringMatching(reason) }),
  );
}

/** Makes the Worker throw while it handles the next request. */
function throwOnce(): void {
  vi.spyOn(MatchRequest.prototype, "sessionRequest").mockImplementationOnce(() => {
    throw new Error("a bug");
  });
}

it.each<[string, () => Promise<string>]>([
  ["a key that UAA does not have", () => signToken({}, { kid: "unknown" })],
  ["HS256", () => signToken({}, { alg: "HS256" }, new Uint8Array(32))],
  ["another issuer", () => signToken({ iss: "https://uaa.other.example.com/oauth/token" })],
  ["another audience", () => signToken({ aud: ["other"] })],
])("lets the Cloud Controller respond to a token with %s (R2.6)", async (_, createToken) => {
  await expectFailedOpen(await push({}, await createToken()), /^unverifiable-token/);
});

it.each<[string, () => Promise<string>]>([
  ["is malformed", async () => "a.b.c"],
  ["has no claims", () => signRawToken({ alg: "RS256", kid: "unknown" }, "garbage")],
  ["has the algorithm none", () => signRawToken({ alg: "none" }, createClaims())],
  ["has an algorithm that does not exist", () => signRawToken({ alg: "RS257" }, createClaims())],
  ["has expired", () => signToken({ exp: 1 })],
  ["has expired and an unknown key", () => signToken({ exp: 1 }, { kid: "unknown" })],
  ["has expired and another issuer", () => signToken({ exp: 1, iss: "https://uaa.other.example.com" })],
  ["has expired and HS256", () => signToken({ exp: 1 }, { alg: "HS256" }, new Uint8Array(32))],
  [
    "has a false signature",
    async () => {
      const { privateKey } = await generateRsaKeys(2048);
      return signRawToken({ alg: "RS256", kid: "key-1" }, createClaims(), privateKey);
    },
  ],
])("returns 401 if the token %s, without a request to the Cloud Controller", async (_, createToken) => {
  expect((await push({}, await createToken())).status).toBe(401);
  expect(requests).toEqual([]);
});

it("lets the Cloud Controller respond if UAA's keys can't be fetched (R2.6)", async () => {
  isolate = { ...env, CLOUD_CONTROLLER_URL, UAA_URL: "https://uaa.down.example.com" };
  await expectFailedOpen(await push(), /^uaa-unavailable/);
});

it("lets the Cloud Controller respond if the Worker throws (R2.6)", async () => {
  throwOnce();
  await expectFailedOpen(await push(), /^unexpected: Error: a bug/);
  expect(logs).toContainEqual(expect.objectContaining({ event: "unexpected", cause: "Error: a bug" }));
});

it("lets the Cloud Controller respond if the Worker throws while it verifies a token (R2.6)", async () => {
  vi.spyOn(UaaKeys.prototype, "find").mockRejectedValueOnce(new Error("a bug"));
  await expectFailedOpen(await push(), /^unverifiable-token: Error: a bug/);
  expect(logs).toContainEqual(expect.objectContaining({ event: "token-unreadable", level: "error" }));
});

it("passes a body without Content-Length through unchanged (R2.6)", async () => {
  // The bytes are neither canonical nor in one chunk.
  const text = ` ${JSON.stringify({ resources: Array.from({ length: 5_000 }, (_, index) => resource(index)) })} `;
  const bytes = new TextEncoder().encode(text);
  const chunked = new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += 100_000) controller.enqueue(bytes.slice(at, at + 100_000));
      controller.close();
    },
  });
  throwOnce();
  const response = await push({}, undefined, chunked);
  expect([response.status, await response.text()]).toEqual([201, FROM_CLOUD_CONTROLLER]);
  expect(await requests.at(-1)?.text()).toBe(text);
});

it("returns 503 and logs both causes if the Cloud Controller can't be reached either", async () => {
  vi.restoreAllMocks();
  logs = collectLogs();
  fakeCloudController(() => Promise.reject(new Error("no route to host")));
  expect((await push({}, await signToken({}, { kid: "unknown" }))).status).toBe(503);
  expect(logs).toContainEqual(
    expect.objectContaining({
      event: "refused",
      reason: expect.stringMatching(/no route to host.*unverifiable-token/),
    }),
  );
});

it.each([
  ["401", 401, () => signToken({}, { kid: "unknown" })],
  ["500", 500, undefined],
])("returns %s without CLOUD_CONTROLLER_URL", async (_, status, createToken) => {
  isolate = { ...env };
  throwOnce();
  expect((await push({}, await createToken?.())).status).toBe(status);
});

it("does not let the Cloud Controller respond to a request of the operator API", async () => {
  const options = { method: "GET", url: `${ENDPOINT}/cache`, token: await signToken({}, { kid: "unknown" }) };
  expect((await sendWithEnv(isolate, undefined, options)).status).toBe(401);
  expect(requests).toEqual([]);
});

it("lets the Cloud Controller respond to all requests of a push after it did to one (R3.8)", async () => {
  await fillCache(...BODY.resources);
  const headers = identified();
  await push(headers, await signToken({}, { kid: "unknown" }));
  await expectFailedOpen(await push(headers), /earlier request of the push/);
  const other = await push(identified());
  expect(await other.json()).toEqual(BODY);
});

it("handles the later requests of a push if the Cloud Controller refused the one that failed open", async () => {
  await fillCache(...BODY.resources);
  vi.restoreAllMocks();
  fakeCloudController(() => new Response("{}", { status: 401 }));
  const headers = identified();
  expect((await push(headers, await signToken({}, { kid: "unknown" }))).status).toBe(401);
  expect(await (await push(headers)).json()).toEqual(BODY);
});

it("returns 409 if the Worker throws and another isolate has decided a part of the push (R3.8)", async () => {
  const token = await signToken();
  const headers = identified();
  const resources = Array.from({ length: 5_000 }, (_, index) => resource(index));
  expect((await push(headers, token, { resources })).status).toBe(201);
  isolate = { ...isolate };
  requests.length = 0;
  vi.spyOn(MatchRequest.prototype, "responseBody").mockImplementationOnce(() => {
    throw new Error("a bug");
  });
  expect((await push(headers, token)).status).toBe(409);
});

it.each([
  ["identified", identified()],
  ["unidentified", {}],
])(
  "returns 409 if the Worker throws after it has decided a part of an %s push (R3.8)",
  async (_, headers) => {
    const token = await signToken();
    const resources = Array.from({ length: 5_000 }, (_, index) => resource(index));
    expect((await push(headers, token, { resources })).status).toBe(201);
    requests.length = 0;
    throwOnce();
    const response = await push(headers, token);
    expect(response.status).toBe(409);
    expect(await response.text()).toContain("Push again");
    expect(requests).toEqual([]);
    const refusals = logs.filter(({ event }) => event === "refused");
    expect(refusals).toEqual([expect.objectContaining({ level: "error", failure: "push-again" })]);
  },
);

it("counts requests that failed open in the status, except those whose token the Cloud Controller refuses", async () => {
  throwOnce();
  await push();
  vi.restoreAllMocks();
  fakeCloudController(() => new Response("{}", { status: 401 }));
  await push({}, await signToken({}, { kid: "unknown" }));
  const token = await signToken({ scope: ["cloud_controller.admin"] });
  const response = await sendWithEnv(isolate, undefined, { method: "GET", url: `${ENDPOINT}/cache`, token });
  const { last_hour: lastHour, checks } = await response.json<CacheStatus>();
  expect(lastHour.failed_open).toBe(1);
  expect(checks).toContainEqual(expect.objectContaining({ name: "last hour", level: "warn" }));
});
