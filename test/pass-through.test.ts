import { afterEach, describe, expect, it, vi } from "vitest";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController } from "./support/origin.ts";
import { sendWith } from "./support/worker.ts";

const API = "https://api.example.com";
const PASS_THROUGH = { CLOUD_CONTROLLER_URL };

afterEach(() => vi.restoreAllMocks());

describe("a request that is passed through", () => {
  it.each([
    ["GET", "/"],
    ["GET", "/v3/apps?names=a%2Cb&per_page=50&order_by=-created_at"],
    ["GET", "/v3/resource_matches"],
    ["POST", "/v3/packages"],
    ["PATCH", "/v3/apps/7e2b6c1d"],
    ["DELETE", "/v3/apps/7e2b6c1d"],
    ["OPTIONS", "/v3/apps"],
    ["GET", "//evil.example.com/x"],
    ["GET", "/@evil.example.com/%2e%2e/a%20b"],
    ["GET", "/http://evil.example.com"],
  ])("passes method, path and query of %s %s through to the configured host", async (method, path) => {
    const requests = fakeCloudController(() => new Response("ok"));
    const response = await sendWith(PASS_THROUGH, undefined, { method, url: API + path });
    expect(response.status).toBe(200);
    expect(requests).toHaveLength(1);
    expect(requests[0]?.method).toBe(method);
    expect(requests[0]?.url).toBe(new Request(CLOUD_CONTROLLER_URL + path).url);
    expect(new URL(requests[0]?.url ?? "").host).toBe("cc.internal.example.com");
  });

  it("passes headers and body through, and an Authorization header that is not verified", async () => {
    const requests = fakeCloudController(() => new Response("ok"));
    const headers = {
      Authorization: "bearer garbage",
      "X-Custom": "ü",
      Accept: "text/*",
      "X-Vcap-Request-Id": "id",
    };
    await sendWith(PASS_THROUGH, "body", { url: `${API}/v3/x`, token: null, headers });
    const [request] = requests;
    for (const [name, value] of Object.entries(headers)) expect(request?.headers.get(name)).toBe(value);
    expect(await request?.text()).toBe("body");
  });

  it("adds the Worker to Via, and keeps the client's User-Agent", async () => {
    const requests = fakeCloudController(() => new Response("ok"));
    const headers = { Via: "1.0 proxy", "User-Agent": "cf/8.18.4" };
    await sendWith(PASS_THROUGH, undefined, { method: "GET", url: `${API}/v3`, headers });
    expect(requests[0]?.headers.get("Via")).toBe("1.0 proxy, 1.1 resource-matches");
    expect(requests[0]?.headers.get("User-Agent")).toBe("cf/8.18.4");
  });

  it.each(["/v3/resource_matches", "/v3/info"])(
    "returns 508 for %s if the Worker has sent it itself",
    async (path) => {
      const requests = fakeCloudController(() => new Response("ok"));
      const headers = { Via: "1.0 proxy, 1.1 resource-matches" };
      const response = await sendWith(PASS_THROUGH, undefined, { url: API + path, headers });
      expect(response.status).toBe(508);
      expect(await response.text()).toContain("CLOUD_CONTROLLER_URL leads back to the Worker");
      expect(requests).toHaveLength(0);
    },
  );

  it("adds X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto to a request that is passed through", async () => {
    const requests = fakeCloudController(() => new Response("ok"));
    const forwarded = async (headers: Record<string, string>) => {
      await sendWith(PASS_THROUGH, undefined, { method: "GET", url: `${API}/v3`, headers });
      return requests.at(-1)?.headers;
    };
    const plain = await forwarded({ "CF-Connecting-IP": "192.0.2.1" });
    expect(plain?.get("X-Forwarded-For")).toBe("192.0.2.1");
    expect(plain?.get("X-Forwarded-Host")).toBe("api.example.com");
    expect(plain?.get("X-Forwarded-Proto")).toBe("https");
    const chain = { "CF-Connecting-IP": "192.0.2.1", "X-Forwarded-For": "198.51.100.7" };
    expect((await forwarded(chain))?.get("X-Forwarded-For")).toBe("198.51.100.7, 192.0.2.1");
    const byCloudflare = { "CF-Connecting-IP": "192.0.2.1", "X-Forwarded-For": "192.0.2.1" };
    expect((await forwarded(byCloudflare))?.get("X-Forwarded-For")).toBe("192.0.2.1");
    const spoofed = await forwarded({ "X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "http" });
    expect(spoofed?.get("X-Forwarded-Host")).toBe("api.example.com");
    expect(spoofed?.get("X-Forwarded-Proto")).toBe("https");
  });
});

describe("a response that is passed through", () => {
  it.each([200, 202, 204, 302, 304, 401, 404, 422, 500, 503])(
    "returns a response with status %i unchanged from the Cloud Controller",
    async (status) => {
      const body = [204, 304].includes(status) ? null : "<html>";
      const headers = {
        Location: "https://elsewhere.example.com/",
        "X-Vcap-Request-Id": "cc-id",
        ETag: '"1"',
      };
      const requests = fakeCloudController(() => new Response(body, { status, headers }));
      const response = await sendWith(PASS_THROUGH, undefined, { method: "GET", url: `${API}/v3/x` });
      expect(response.status).toBe(status);
      expect(requests[0]?.redirect).toBe("manual");
      for (const [name, value] of Object.entries(headers)) expect(response.headers.get(name)).toBe(value);
      expect(await response.text()).toBe(body ?? "");
      expect(requests).toHaveLength(1);
    },
  );

  it("returns a WebSocket upgrade of the Cloud Controller", async () => {
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    server.addEventListener("message", ({ data }) => server.send(`echo ${data}`));
    fakeCloudController(() => new Response(null, { status: 101, webSocket: client }));
    const headers = { Upgrade: "websocket" };
    const response = await sendWith(PASS_THROUGH, undefined, { method: "GET", url: `${API}/v3/x`, headers });
    expect(response.status).toBe(101);
    const socket = response.webSocket as WebSocket;
    socket.accept();
    const reply = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
    socket.send("hello");
    expect(await reply).toBe("echo hello");
  });

  it("returns 503 if the Cloud Controller can't be reached, and only logs the cause", async () => {
    const logs = collectLogs();
    fakeCloudController(() => Promise.reject(new TypeError("connection refused")));
    const response = await sendWith(PASS_THROUGH, undefined, { method: "GET", url: `${API}/v3/x` });
    expect(response.status).toBe(503);
    expect(await response.text()).toBe(
      '{"errors":[{"detail":"The Cloud Controller is currently unavailable","title":"CF-ServiceUnavailable","code":10015}]}',
    );
    expect(logs).toContainEqual(expect.objectContaining({ reason: "TypeError: connection refused" }));
  });
});

describe("a body that is passed through", () => {
  it("streams bodies that are passed through, in both directions", async () => {
    const upload = new TransformStream<Uint8Array, Uint8Array>();
    const writer = upload.writable.getWriter();
    fakeCloudController((request) => new Response(request.body));
    const pending = sendWith(PASS_THROUGH, upload.readable, { url: `${API}/v3/packages/1/upload` });
    void writer.write(new TextEncoder().encode("first"));
    const reader = (await pending).body?.getReader();
    const chunk = await reader?.read();
    expect(new TextDecoder().decode(chunk?.value)).toBe("first");
    await writer.close();
    expect((await reader?.read())?.done).toBe(true);
  });
});
