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
import { type Recorded, type RecordingOrigin, startRecordingOrigin } from "./recording-origin.ts";

const SHA1 = "a".repeat(40);
const BODY = JSON.stringify({ resources: [{ checksum: { value: SHA1 }, size_in_bytes: 1 }] });
const STARTED_MAX_MS = 30_000;
const ANSWERED_MAX_MS = 20_000;
const SAMPLED_MS = 5;
/** The last that is logged of a request. */
const TOLD = ["matched", "refused", "shadowed"];
const MB = 1_000_000;
/** What shadow mode compares, of a request and of an answer. */
const MOST = 4 * 1024 * 1024;

let uaa: Uaa;
let origin: RecordingOrigin;
let worker: Workerd;

/** Stands before UAA: counts who asks for its keys, and lets the test decide when they are answered. */
let keys: { asked: number; held: Promise<void> };
let gate: Awaited<ReturnType<typeof listenOnLoopback>>;

async function start(variables: Record<string, string> = {}): Promise<Workerd> {
  return startWorkerd({
    modules: inject("worker"),
    variables: { UAA_URL: gate.url, UAA_ISSUER: uaa.issuer, MINIMUM_SIZE: "0", ...variables },
  });
}

/** Bytes to the Worker of the moment. */
const send = (bytes: string | Uint8Array, options?: SendOptions) => sendBytes(worker.url, bytes, options);

interface Message {
  method?: string;
  path?: string;
  host?: string;
  headers?: string[];
  body?: string;
}

async function message({
  method = "POST",
  path = "/v3/resource_matches",
  ...rest
}: Message): Promise<string> {
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
const statusOf = (answer: string) => Number(answer.split(" ")[1]);
const bodyOf = (answer: string) => answer.slice(answer.indexOf("\r\n\r\n") + 4);

beforeAll(async () => {
  uaa = await startUaa();
  gate = await listenOnLoopback(async (_, response) => {
    keys.asked += 1;
    await keys.held;
    response.end(await (await fetch(`${uaa.url}/token_keys`)).text());
  });
  origin = await startRecordingOrigin();
});
beforeEach(() => {
  keys = { asked: 0, held: Promise.resolve() };
});
afterAll(async () => {
  await Promise.all([uaa.close(), origin.close(), gate.close()]);
});

describe("what no client may send", () => {
  beforeAll(async () => {
    worker = await start();
  }, STARTED_MAX_MS);
  beforeEach(() => {
    worker.lines.length = 0;
  });
  afterAll(() => worker.stop());

  it.each([
    ["no length of a chunk", "zz\r\nabc"],
    ["a chunk longer than it says", "3\r\nabcdef\r\n0\r\n\r\n"],
    ["a chunk of a negative length", "-1\r\nabc\r\n0\r\n\r\n"],
  ])("%s: 400, and no bug in the log", async (_, body) => {
    const answer = await send(await message({ headers: [CLOSE, CHUNKED], body }));
    expect(statusOf(answer)).toBe(400);
    expect(bodyOf(answer)).toContain("CF-MessageParseError");
    expect(worker.lines).toEqual([expect.objectContaining({ event: "refused", status: 400 })]);
  });

  it.each([
    ["with a length", ["Content-Length: 1000"], BODY],
    ["in chunks", [CHUNKED], "3\r\nabc\r\n"],
  ])("half a body, %s: 400, and no bug in the log", async (_, headers, body) => {
    const gone = { afterMs: 100, by: "end" } as const;
    const answer = await send(await message({ headers, body }), { gone });
    expect(statusOf(answer)).toBe(400);
    expect(worker.lines).toEqual([expect.objectContaining({ event: "refused", status: 400 })]);
  });

  it.each(["a b", "[", "%", "<>", "api.example.com:99999"])("the Host %s: 400", async (host) => {
    for (const path of ["/v3/resource_matches", "/v3/resource_matches/cache", "/v3/info"]) {
      const answer = await send(await message({ path, host, headers: [CLOSE] }));
      expect(statusOf(answer)).toBe(400);
      expect(bodyOf(answer)).toContain("CF-BadRequest");
    }
  });
});

describe("a client that hangs up takes nobody's keys along", () => {
  beforeEach(async () => {
    worker = await start();
  }, STARTED_MAX_MS);
  afterEach(() => worker.stop());

  it.each([1, 20])(
    "%i connections are reset while UAA is asked for them: it is asked once",
    async (clients) => {
      let answer = () => {};
      keys.held = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const gone = { afterMs: 200, by: "reset" } as const;
      const text = await message({ body: BODY });
      await Promise.all(Array.from({ length: clients }, () => send(text, { gone })));
      await vi.waitFor(() => expect(keys.asked).toBe(1));

      const pending = send(await message({ headers: [CLOSE, LENGTH], body: BODY }), {
        patienceMs: 20_000,
      });
      answer();
      expect(statusOf(await pending)).toBe(201);
      expect(keys.asked).toBe(1);
    },
  );
});

describe.skipIf(!existsSync("/proc/self/status"))("the memory of a large body", () => {
  const filled = (head: string, unit: string, tail: string, bytes = BODY_MAX_BYTES) =>
    head + unit.repeat((bytes - Buffer.byteLength(head + tail)) / Buffer.byteLength(unit)) + tail;
  const member = `"checksum":{"value":"${SHA1}"},"size_in_bytes":1`;

  const toldOf = () => worker.lines.filter(({ event }) => TOLD.includes(event as string)).length;

  /** What is answered, how many bytes more than before it took, and whether another is answered then. */
  const weighed = async (body: string, { isHeld = true, isChunked = false }) => {
    const headers = [CLOSE, LENGTH];
    const kv = isHeld ? await worker.kv() : undefined;
    if (kv) await putManifestIfMissing(kv);
    for (const size of [1, 1e8]) await kv?.put(`${SHA1}:${size}`, "1");
    await send(await message({ headers, body: BODY }));
    // Something may still be done behind an answer.
    await vi.waitFor(() => expect(toldOf()).toBe(1), ANSWERED_MAX_MS);
    const before = worker.usage().bytes;
    let peak = before;
    const sampling = setInterval(() => {
      peak = Math.max(peak, worker.usage().bytes);
    }, SAMPLED_MS);
    const bytes = Buffer.byteLength(body);
    const sent = isChunked
      ? { headers: [CLOSE, CHUNKED], body: `${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n` }
      : { headers: [CLOSE, `Content-Length: ${bytes}`], body };
    const answer = await send(await message(sent), { patienceMs: ANSWERED_MAX_MS });
    await vi.waitFor(() => expect(toldOf()).toBe(2), ANSWERED_MAX_MS);
    clearInterval(sampling);
    const other = await send(await message({ headers, body: BODY }));
    return { answer, other, tookMb: (peak - before) / MB };
  };

  /** As many units as a body that is not in canonical form may have, and then a member that fills it up to 4 MiB. */
  const atLimits = (head: string, unit: (index: number) => string, tail: string) => {
    const tokens = unit(0).match(/[,[{]/g)?.length ?? 0;
    const units = Array.from({ length: Math.floor((NON_CANONICAL_MAX_TOKENS - 10) / tokens) }, (_, at) =>
      unit(at),
    );
    const list = head + units.join("") + tail;
    return filled(`{"resources":${list},"x":"`, "語", '"}', NON_CANONICAL_MAX_BYTES);
  };
  const object = (keys: number) => (index: number) =>
    `,{${Array.from({ length: keys }, (_, at) => `"${(keys * index + at).toString(36)}":0`).join()}}`;

  it.each([
    ["15 MiB of arrays in arrays", filled("", "[", ""), 413],
    ["15 MiB of small objects", filled('{"resources":[{"a":1}', ',{"a":1}', "]}"), 413],
    ["15 MiB of long paths, not in canonical form", filled('{"resources":[{"path":"', "\\n", '"}]}'), 413],
    ["more than 4 MiB of blanks", filled('{"resources":[', " ", "]}", NON_CANONICAL_MAX_BYTES + 1), 413],
    ["4 MiB of opening brackets", filled("", "[", "", NON_CANONICAL_MAX_BYTES), 413],
    [
      "arrays in arrays at the limits",
      atLimits("", () => "[", "]".repeat(NON_CANONICAL_MAX_TOKENS - 10)),
      422,
    ],
    ["empty objects at the limits", atLimits("[{}", () => ",{}", "]"), 422],
    ["objects of distinct keys at the limits", atLimits("[{}", object(1), "]"), 422],
    ["objects of 20 distinct keys at the limits", atLimits("[{}", object(20), "]"), 422],
    ["numbers at the limits", atLimits("[0", () => ",0", "]"), 422],
    [
      "4 MiB of the longest paths, not in canonical form, all present",
      filled(
        `{"resources":[{${member},"x":0}`,
        `,{${member},"path":"${"\\n".repeat(131_000)}"}`,
        "]}",
        NON_CANONICAL_MAX_BYTES,
      ),
      201,
    ],
    [
      "4 MiB of one path, not in canonical form",
      filled(`{"resources":[{${member},"x":"語","path":"`, "x", '"}]}', NON_CANONICAL_MAX_BYTES),
      201,
    ],
    [
      "15 MiB of long paths in canonical form, all present",
      filled(`{"resources":[{${member}}`, `,{${member},"path":"${"語".repeat(1_020)}"}`, "]}"),
      201,
    ],
  ])("takes less than 100 MB of memory for %s, and responds to later requests", async (_, body, status) => {
    worker = await start();
    const { answer, other, tookMb } = await weighed(body, { isHeld: status === 201 });
    await worker.stop();

    expect(statusOf(answer)).toBe(status);
    expect(statusOf(other)).toBe(201);
    expect(tookMb).toBeLessThan(100);
  });

  describe("or the most that is compared, in shadow mode with a Cloud Controller that answers the same,", () => {
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
      filled(`{"resources":[{${member}}`, `,{${member},"path":"${"語".repeat(1_020)}"}`, "]}", bytes);
    const arrays = `{"resources":${"[".repeat(MOST / 2 - 10)}${"]".repeat(MOST / 2 - 10)}}`;

    it.each([
      ["15 MiB of long paths", "with a length", paths(BODY_MAX_BYTES), "not-compared"],
      ["15 MiB of long paths", "in chunks", paths(BODY_MAX_BYTES), "not-compared"],
      ["4 MiB of long paths", "in chunks", paths(MOST), "compared"],
      ["4 MiB of arrays in arrays", "with a length", arrays, "not-compared"],
    ])(
      "of %s, %s, takes less than 100 MB, and arrives and comes back whole",
      async (_, how, body, outcome) => {
        worker = await start({ MODE: "shadow", CLOUD_CONTROLLER_URL: echo.url });
        const { answer, other, tookMb } = await weighed(body, { isChunked: how === "in chunks" });
        const shadowed = worker.lines.filter(({ event }) => event === "shadowed");
        await worker.stop();

        expect(statusOf(answer)).toBe(201);
        expect([received[1] === body, bodyOf(answer) === body]).toEqual([true, true]);
        expect(statusOf(other)).toBe(201);
        expect(shadowed[1]).toMatchObject({ outcome });
        expect(tookMb).toBeLessThan(100);
      },
    );
  });
});

describe("what passes through to the Cloud Controller", () => {
  beforeAll(async () => {
    worker = await start({ CLOUD_CONTROLLER_URL: origin.url });
  }, STARTED_MAX_MS);
  afterAll(() => worker.stop());

  const passed = async (sent: Message) => {
    const text = bodyOf(await send(await message(sent)));
    // Without the lengths of its chunks.
    return JSON.parse(text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1)) as Recorded;
  };

  it("is not what was meant for a proxy, nor for this connection alone", async () => {
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
    const recorded = await passed({ method: "GET", path: "/v3/apps", headers });
    // The local simulator's own.
    const { "cf-worker": _, ...headersOfRequest } = recorded.headers;
    expect(recorded.headers["x-forwarded-for"]).toBe("198.51.100.7, 192.0.2.1");
    expect(Object.keys(headersOfRequest).sort()).toEqual([
      "authorization",
      // How the runtime says that nothing is to be kept on the way.
      "cache-control",
      "host",
      "pragma",
      "x-forwarded-for",
      "x-forwarded-host",
      "x-forwarded-proto",
      "x-of-request",
    ]);
  });

  const body = "3\r\nabc\r\n0\r\n\r\n";

  it.each(["DELETE", "PATCH", "POST"])("is the body of a chunked %s", async (method) => {
    const recorded = await passed({ method, path: "/v3/x", headers: [CLOSE, CHUNKED], body });
    expect(recorded).toMatchObject({ method, length: 3 });
  });

  it("is the body of a GET with its length; in chunks, which the runtime would send without, it is 411", async () => {
    const sent = { method: "GET", path: "/v3/x" };
    const headers = [CLOSE, "Content-Length: 3"];
    expect(await passed({ ...sent, headers, body: "abc" })).toMatchObject({ method: "GET", length: 3 });
    const inChunks = { ...sent, headers: [CLOSE, CHUNKED] };
    expect(await passed({ ...inChunks, body: "0\r\n\r\n" })).toMatchObject({ method: "GET", length: 0 });
    const answer = await send(await message({ ...inChunks, body }));
    expect(statusOf(answer)).toBe(411);
    expect(bodyOf(answer)).toContain("CF-BadRequest");
  });

  it.each(["/v3/resource_matches/", "/v3/resource_matches//", "//v3/resource_matches"])(
    "is a request for %s, which is not the endpoint",
    async (url) => {
      expect(await passed({ path: url, headers: [CLOSE, LENGTH], body: BODY })).toMatchObject({ url });
    },
  );
});
