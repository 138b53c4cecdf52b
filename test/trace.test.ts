import { afterEach, describe, expect, it, vi } from "vitest";
import { pushIdOf } from "../src/push-sessions/push-id.ts";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "./support/origin.ts";
import { resource, sendWith } from "./support/worker.ts";

const TRACE_ID = "463ac35c9f6413ad48485a3953bb6124";
const SPAN_ID = "a2fb4a1d1a96d312";
const BOTH = { "X-B3-TraceId": TRACE_ID, "X-B3-SpanId": SPAN_ID };
const row = [resource(1), resource(2)];

afterEach(() => {
  vi.restoreAllMocks();
});

describe("trace ids", () => {
  it.each<[string, object, object, number]>([
    ["a response", { resources: row }, {}, 201],
    ["an error", { resources: [] }, {}, 422],
    ["an error without a token", { resources: row }, { token: null }, 401],
    ["an unknown path", {}, { url: "https://api.example.com/v3/apps", method: "POST" }, 404],
  ])("echoes trace ids with %s", async (_, body, sent, status) => {
    collectLogs();
    const response = await sendWith({}, body, { ...sent, headers: BOTH });
    expect(response.status).toBe(status);
    expect(response.headers.get("X-B3-TraceId")).toBe(TRACE_ID);
    expect(response.headers.get("X-B3-SpanId")).toBe(SPAN_ID);
  });

  it.each(["X-B3-TraceId", "X-B3-SpanId"] as const)(
    "echoes no trace id if a request has %s alone",
    async (name) => {
      collectLogs();
      const response = await sendWith({}, { resources: row }, { headers: { [name]: BOTH[name] } });
      expect(response.headers.has("X-B3-TraceId") || response.headers.has("X-B3-SpanId")).toBe(false);
    },
  );

  it("sends trace ids to the Cloud Controller with each request for matches", async () => {
    collectLogs();
    const requests = fakeCloudController(respondWithMatches(() => true));
    await sendWith({ CLOUD_CONTROLLER_URL }, { resources: row }, { headers: BOTH });
    expect(requests.length).toBeGreaterThan(0);
    for (const { headers } of requests) {
      expect([headers.get("X-B3-TraceId"), headers.get("X-B3-SpanId")]).toEqual([TRACE_ID, SPAN_ID]);
    }
  });

  it("returns the trace ids of the Cloud Controller in a response that was passed through", async () => {
    collectLogs();
    fakeCloudController(
      () => new Response(null, { headers: { ...BOTH, "X-B3-SpanId": "of the Cloud Controller" } }),
    );
    const url = "https://api.example.com/v3/apps";
    const response = await sendWith({ CLOUD_CONTROLLER_URL }, undefined, {
      url,
      method: "GET",
      headers: BOTH,
    });
    expect(response.headers.get("X-B3-TraceId")).toBe(TRACE_ID);
    expect(response.headers.get("X-B3-SpanId")).toBe("of the Cloud Controller");
  });

  it("logs the trace id in each line", async () => {
    const logs = collectLogs();
    fakeCloudController(() => new Response("down", { status: 500 }));
    await sendWith({ CLOUD_CONTROLLER_URL }, { resources: row }, { headers: BOTH });
    await sendWith({}, { resources: [] }, { headers: BOTH });
    expect(logs.map(({ event }) => event)).toEqual(
      expect.arrayContaining(["lookup-incomplete", "matched", "refused"]),
    );
    expect(new Set(logs.map(({ traceId }) => traceId))).toEqual(new Set([TRACE_ID]));
  });

  it.each(["", "a b", `${"0".repeat(65)}`, '"}', "é"])(
    "logs no trace id that is not a plain id: %s",
    async (traceId) => {
      const logs = collectLogs();
      await sendWith({}, { resources: row }, { headers: { "X-B3-TraceId": encodeURI(traceId) } });
      expect(logs.map((line) => "traceId" in line)).not.toContain(true);
    },
  );
});

describe("a push is identified by its trace id", () => {
  const idOf = (userAgent: string | undefined, traceId: string = TRACE_ID) =>
    pushIdOf(
      new Headers({
        "X-B3-TraceId": traceId,
        ...(userAgent === undefined ? {} : { "User-Agent": userAgent }),
      }),
    );

  it.each([
    "cf/8.12.0+6e5b0ad.2025-03-27 (go1.24.1; amd64 linux)",
    "cf/8.18.4+cf2a5b5.2026-07-30 (go1.26.1; arm64 darwin)",
    "cf8/8.18.4+cf2a5b5.2026-07-30 (go1.26.1; amd64 linux)",
    "cf.exe/8.13.0+cf2a5b5.2025-05-30 (go1.24.1; amd64 windows)",
    "CF8.EXE/8.13.0 (go1.24.1; amd64 windows)",
    "cf9/9.0.0+1234567.2026-10-01 (go1.26.1; amd64 linux)",
    "cf/10.0.0 (go1.26.1; amd64 linux)",
  ])("identifies a push by the trace id of the client %s", (userAgent) => {
    expect(idOf(userAgent)).toBe(TRACE_ID);
  });

  it.each([
    undefined,
    "",
    "cf/8.11.3+6e5b0ad.2025-01-10 (go1.23.4; amd64 linux)",
    "cf/7.8.0+6e5b0ad.2024-01-10 (go1.21.4; amd64 linux)",
    "cf/0.0.0-unknown-version (go1.26.1; amd64 linux)",
    "cf/8.12 (go1.24.1; amd64 linux)",
    "go-cli 8.18.4 / linux",
    "Go-http-client/2.0",
    "curl/8.12.0 (x86_64-pc-linux-gnu)",
    "Terraform-Provider-cloudfoundry/9.1.0 cf/8.18.4 (go1.26.1; amd64 linux)",
  ])("does not identify a push by the trace id of the client %s", (userAgent) => {
    expect(idOf(userAgent)).toBeUndefined();
  });

  it.each([
    ["upper case", TRACE_ID.toUpperCase()],
    ["16 digits", TRACE_ID.slice(16)],
    ["a UUID with dashes", crypto.randomUUID()],
    ["any text", "my-pipeline"],
    ["two ids", `${TRACE_ID}, ${TRACE_ID}`],
  ])("does not identify a push by a trace id that is %s", (_, traceId) => {
    expect(idOf("cf/8.18.4 (go1.26.1; amd64 linux)", traceId)).toBeUndefined();
  });
});
