import { existsSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";
import {
  BODY_MAX_BYTES,
  NON_CANONICAL_MAX_BYTES,
  NON_CANONICAL_MAX_TOKENS,
} from "../../src/platform-limits.ts";
import { listenOnLoopback } from "../foundation/loopback.ts";
import { startUaa, type Uaa } from "../foundation/uaa/uaa.ts";
import { putManifestIfMissing } from "../support/manifest.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";
import { type SendOptions, sendBytes } from "./raw-client.ts";
import { type RecordedRequest, type RecordingOrigin, startRecordingOrigin } from "./recording-origin.ts";

const SHA1 = "a".repeat(40);
const BODY = JSON.stringify({ resources: [{ checksum: { value: SHA1 }, size_in_bytes: 1 }] });
const START_TIMEOUT_MS = 30_000;
const RESPONSE_TIMEOUT_MS = 20_000;
const SAMPLE_INTERVAL_MS = 5;
/** The last event that is logged of a request. */
const FINAL_EVENTS = ["matched", "refused", "shadowed"];
const MB = 1_000_000;
/** The largest request and response that shadow mode compares. */
const COMPARED_MAX_BYTES = 4 * 1024 * 1024;

let uaa: Uaa;
let origin: RecordingOrigin;
let worker: Workerd;

/** A proxy of UAA that counts the requests for its keys, and responds when `released` resolves. */
let keys: { requests: number; released: Promise<void> };
let uaaProxy: Awaited<ReturnType<typeof listenOnLoopback>>;

async function start(variables: Record<string, string> = {}): Promise<Workerd> {
  return startWorkerd({
    modules: inject("worker"),
    variables: { UAA_URL: uaaProxy.url, UAA_ISSUER: uaa.issuer, MINIMUM_SIZE: "0", ...variables },
  });
}

/** Sends bytes to the current Worker. */
const send = (bytes: string | Uint8Array, options?: SendOptions) => sendBytes(worker.url, bytes, options);

interface MessageParts {
  method?: string;
  path?: string;
  host?: string;
  headers?: string[];
  body?: string;
}

async function formatMessage({
  method = "POST",
  path = "/v3/resource_matches",
  ...rest
}: MessageParts): Promise<string> {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${rest.host ?? "api.example.com"}`,
    `Authorization: bearer ${await uaa.issueToken()}`,
    ...(rest.headers ?? [`Content-Length: ${rest.body?.length ?? 0}`]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${rest.body ?? ""}`;
}

const CLOSE = "Connection: close";
const CHUNKED = "Transfer-Encoding: chunked";
const LENGTH = `Content-Length: ${BODY.length}`;
const statusOf = (response: string) => Number(response.split(" ")[1]);
const bodyOf = (response: string) => response.slice(response.indexOf("\r\n\r\n") + 4);

beforeAll(async () => {
  uaa = await startUaa();
  uaaProxy = await listenOnLoopback(async (_, response) => {
    keys.requests += 1;
    await keys.released;
    response.end(await (await fetch(`${uaa.url}/token_keys`)).text());
  });
  origin = await startRecordingOrigin();
});
beforeEach(() => {
  keys = { requests: 0, released: Promise.resolve() };
});
afterAll(async () => {
  await Promise.all([uaa.close(), origin.close(), uaaProxy.close()]);
});

describe("an invalid request", () => {
  beforeAll(async () => {
    worker = await start();
  }, START_TIMEOUT_MS);
  beforeEach(() => {
    worker.lines.length = 0;
  });
  afterAll(() => worker.stop());

  it.each([
    ["a chunk without a length", "zz\r\nabc"],
    ["a chunk that is longer than its length", "3\r\nabcdef\r\n0\r\n\r\n"],
    ["a chunk with a negative length", "-1\r\nabc\r\n0\r\n\r\n"],
  ])("returns 400 for %s (R2.4)", async (_, body) => {
    const response = await send(await formatMessage({ headers: [CLOSE, CHUNKED], body }));
    expect(statusOf(response)).toBe(400);
    expect(bodyOf(response)).toContain("CF-MessageParseError");
    expect(worker.lines).toEqual([expect.objectContaining({ event: "refused", status: 400 })]);
  });

  it.each([
    ["with a Content-Length", ["Content-Length: 1000"], BODY],
    ["in chunks", [CHUNKED], "3\r\nabc\r\n"],
  ])("returns 400 for a body that ends too early, %s (R2.4)", async (_, headers, body) => {
    const abort = { afterMs: 100, by: "end" } as const;
    const response = await send(await formatMessage({ headers, body }), { abort });
    expect(statusOf(response)).toBe(400);
    expect(worker.lines).toEqual([expect.objectContaining({ event: "refused", status: 400 })]);
  });

  it.each(["a b", "[", "%", "<>", "api.example.com:99999"])(
    "returns 400 for the Host %s (R2.4)",
    async (host) => {
      for (const path of ["/v3/resource_matches", "/v3/resource_matches/cache", "/v3/info"]) {
        const response = await send(await formatMessage({ path, host, headers: [CLOSE] }));
        expect(statusOf(response)).toBe(400);
        expect(bodyOf(response)).toContain("CF-BadRequest");
      }
    },
  );
});

describe("a client that disconnects", () => {
  beforeEach(async () => {
    worker = await start();
  }, START_TIMEOUT_MS);
  afterEach(() => worker.stop());

  it.each([1, 20])("fetches UAA's keys for other clients when %i connections are reset", async (clients) => {
    let release = () => {};
    keys.released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const abort = { afterMs: 200, by: "reset" } as const;
    const text = await formatMessage({ body: BODY });
    await Promise.all(Array.from({ length: clients }, () => send(text, { abort })));
    await vi.waitFor(() => expect(keys.requests).toBe(1));

    const pending = send(await formatMessage({ headers: [CLOSE, LENGTH], body: BODY }), {
      timeoutMs: 20_000,
    });
    release();
    expect(statusOf(await pending)).toBe(201);
    expect(keys.requests).toBe(1);
  });
});

describe.skipIf(!existsSync("/proc/self/status"))("the memory of a large body", () => {
  const fillBody = (head: string, unit: string, tail: string, bytes = BODY_MAX_BYTES) =>
    head + unit.repeat((bytes - Buffer.byteLength(head + tail)) / Buffer.byteLength(unit)) + tail;
  const member = `"checksum":{"value":"${SHA1}"},"size_in_bytes":1`;

  const countFinishedRequests = () =>
    worker.lines.filter(({ event }) => FINAL_EVENTS.includes(event as string)).length;

  /** Sends the body, then another request. Returns both responses, and by how many MB the memory grew. */
  const measureMemory = async (body: string, { isPresent = true, isChunked = false }) => {
    const headers = [CLOSE, LENGTH];
    const kv = isPresent ? await worker.kv() : undefined;
    if (kv) await putManifestIfMissing(kv);
    for (const size of [1, 1e8]) await kv?.put(`${SHA1}:${size}`, "1");
    await send(await formatMessage({ headers, body: BODY }));
    // Work may go on after the response.
    await vi.waitFor(() => expect(countFinishedRequests()).toBe(1), RESPONSE_TIMEOUT_MS);
    const before = worker.usage().bytes;
    let peak = before;
    const sampling = setInterval(() => {
      peak = Math.max(peak, worker.usage().bytes);
    }, SAMPLE_INTERVAL_MS);
    const bytes = Buffer.byteLength(body);
    const sent = isChunked
      ? { headers: [CLOSE, CHUNKED], body: `${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n` }
      : { headers: [CLOSE, `Content-Length: ${bytes}`], body };
    const response = await send(await formatMessage(sent), { timeoutMs: RESPONSE_TIMEOUT_MS });
    await vi.waitFor(() => expect(countFinishedRequests()).toBe(2), RESPONSE_TIMEOUT_MS);
    clearInterval(sampling);
    const other = await send(await formatMessage({ headers, body: BODY }));
    return { response, other, grownMb: (peak - before) / MB };
  };

  /** A body that is not in canonical form, with the most tokens that it may have, and a member that fills it up to 4 MiB. */
  const createAtLimits = (head: string, unit: (index: number) => string, tail: string) => {
    const tokens = unit(0).match(/[,[{]/g)?.length ?? 0;
    const units = Array.from({ length: Math.floor((NON_CANONICAL_MAX_TOKENS - 10) / tokens) }, (_, at) =>
      unit(at),
    );
    const list = head + units.join("") + tail;
    return fillBody(`{"resources":${list},"x":"`, "語", '"}', NON_CANONICAL_MAX_BYTES);
  };
  const object = (keys: number) => (index: number) =>
    `,{${Array.from({ length: keys }, (_, at) => `"${(keys * index + at).toString(36)}":0`).join()}}`;

  it.each([
    ["15 MiB of arrays in arrays", fillBody("", "[", ""), 413],
    ["15 MiB of small objects", fillBody('{"resources":[{"a":1}', ',{"a":1}', "]}"), 413],
    ["15 MiB of long paths, not in canonical form", fillBody('{"resources":[{"path":"', "\\n", '"}]}'), 413],
    ["more than 4 MiB of spaces", fillBody('{"resources":[', " ", "]}", NON_CANONICAL_MAX_BYTES + 1), 413],
    ["4 MiB of opening brackets", fillBody("", "[", "", NON_CANONICAL_MAX_BYTES), 413],
    [
      "arrays in arrays at the limits",
      createAtLimits("", () => "[", "]".repeat(NON_CANONICAL_MAX_TOKENS - 10)),
      422,
    ],
    ["empty objects at the limits", createAtLimits("[{}", () => ",{}", "]"), 422],
    ["objects of distinct keys at the limits", createAtLimits("[{}", object(1), "]"), 422],
    ["objects of 20 distinct keys at the limits", createAtLimits("[{}", object(20), "]"), 422],
    ["numbers at the limits", createAtLimits("[0", () => ",0", "]"), 422],
    [
      "4 MiB of the longest paths, not in canonical form, all present",
      fillBody(
        `{"resources":[{${member},"x":0}`,
        `,{${member},"path":"${"\\n".repeat(131_000)}"}`,
        "]}",
        NON_CANONICAL_MAX_BYTES,
      ),
      201,
    ],
    [
      "4 MiB of one path, not in canonical form",
      fillBody(`{"resources":[{${member},"x":"語","path":"`, "x", '"}]}', NON_CANONICAL_MAX_BYTES),
      201,
    ],
    [
      "15 MiB of long paths in canonical form, all present",
      fillBody(`{"resources":[{${member}}`, `,{${member},"path":"${"語".repeat(1_020)}"}`, "]}"),
      201,
    ],
  ])("takes less than 100 MB of memory for %s, and responds to later requests", async (_, body, status) => {
    worker = await start();
    const { response, other, grownMb } = await measureMemory(body, { isPresent: status === 201 });
    await worker.stop();

    expect(statusOf(response)).toBe(status);
    expect(statusOf(other)).toBe(201);
    expect(grownMb).toBeLessThan(100);
  });

  describe("in shadow mode, with a Cloud Controller that echoes the request", () => {
    let echo: Awaited<ReturnType<typeof listenOnLoopback>>;
    let received: string[] = [];
    beforeAll(async () => {
      echo = await listenOnLoopback(async (request, response) => {
        const body = Buffer.concat(await request.toArray());
        received.push(body.toString());
        response.writeHead(201, { "Content-Length": body.length }).end(body);
      });
    });
    beforeEach(() => {
      received = [];
    });
    afterAll(() => echo.close());

    const paths = (bytes: number) =>
      fillBody(`{"resources":[{${member}}`, `,{${member},"path":"${"語".repeat(1_020)}"}`, "]}", bytes);
    const arrays = `{"resources":${"[".repeat(COMPARED_MAX_BYTES / 2 - 10)}${"]".repeat(COMPARED_MAX_BYTES / 2 - 10)}}`;

    it.each([
      ["15 MiB of long paths", "with a length", paths(BODY_MAX_BYTES), "not-compared"],
      ["15 MiB of long paths", "in chunks", paths(BODY_MAX_BYTES), "not-compared"],
      ["4 MiB of long paths", "in chunks", paths(COMPARED_MAX_BYTES), "compared"],
      ["4 MiB of arrays in arrays", "with a length", arrays, "not-compared"],
    ])(
      "takes less than 100 MB of memory in shadow mode for %s, %s, and passes both bodies through unchanged (R2.5)",
      async (_, how, body, outcome) => {
        worker = await start({ MODE: "shadow", CLOUD_CONTROLLER_URL: echo.url });
        const { response, other, grownMb } = await measureMemory(body, { isChunked: how === "in chunks" });
        const shadowed = worker.lines.filter(({ event }) => event === "shadowed");
        await worker.stop();

        expect(statusOf(response)).toBe(201);
        expect([received[1] === body, bodyOf(response) === body]).toEqual([true, true]);
        expect(statusOf(other)).toBe(201);
        expect(shadowed[1]).toMatchObject({ outcome });
        expect(grownMb).toBeLessThan(100);
      },
    );
  });
});

describe("pass-through", () => {
  beforeAll(async () => {
    worker = await start({ CLOUD_CONTROLLER_URL: origin.url });
  }, START_TIMEOUT_MS);
  afterAll(() => worker.stop());

  const passThrough = async (sent: MessageParts) => {
    const text = bodyOf(await send(await formatMessage(sent)));
    // Cuts off the chunk lengths.
    return JSON.parse(text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1)) as RecordedRequest;
  };

  it("drops headers for proxies and for this connection from a request that is passed through", async () => {
    const headers = [
      "Connection: close, X-Of-Connection, no name, , CF-Connecting-IP, X-Forwarded-For",
      "CF-Connecting-IP: 192.0.2.1",
      "X-Forwarded-For: 198.51.100.7",
      "X-Of-Connection: 1",
      "Proxy-Authorization: Basic c2VjcmV0",
      "Proxy-Connection: close",
      "Keep-Alive: timeout=5",
      "TE: trailers",
      "X-Of-Request: 1",
    ];
    const recorded = await passThrough({ method: "GET", path: "/v3/apps", headers });
    // Added by the local runtime.
    const { "cf-worker": _, ...headersOfRequest } = recorded.headers;
    expect(recorded.headers["x-forwarded-for"]).toBe("198.51.100.7, 192.0.2.1");
    expect(Object.keys(headersOfRequest).sort()).toEqual([
      "authorization",
      // The runtime adds this header and `pragma` for `cache: "no-store"`.
      "cache-control",
      "host",
      "pragma",
      "via",
      "x-forwarded-for",
      "x-forwarded-host",
      "x-forwarded-proto",
      "x-of-request",
    ]);
  });

  const body = "3\r\nabc\r\n0\r\n\r\n";

  it.each(["DELETE", "PATCH", "POST"])("passes the body of a chunked %s through", async (method) => {
    const recorded = await passThrough({ method, path: "/v3/x", headers: [CLOSE, CHUNKED], body });
    expect(recorded).toMatchObject({ method, length: 3 });
  });

  it("passes the body of a GET with a Content-Length through, and returns 411 for a chunked one", async () => {
    const sent = { method: "GET", path: "/v3/x" };
    const headers = [CLOSE, "Content-Length: 3"];
    expect(await passThrough({ ...sent, headers, body: "abc" })).toMatchObject({ method: "GET", length: 3 });
    const inChunks = { ...sent, headers: [CLOSE, CHUNKED] };
    expect(await passThrough({ ...inChunks, body: "0\r\n\r\n" })).toMatchObject({ method: "GET", length: 0 });
    const response = await send(await formatMessage({ ...inChunks, body }));
    expect(statusOf(response)).toBe(411);
    expect(bodyOf(response)).toContain("CF-BadRequest");
  });

  it.each(["/v3/resource_matches/", "/v3/resource_matches//", "//v3/resource_matches"])(
    "passes a request for %s through, because the path is not exactly the endpoint's",
    async (url) => {
      expect(await passThrough({ path: url, headers: [CLOSE, LENGTH], body: BODY })).toMatchObject({ url });
    },
  );
});
