import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { request } from "node:http";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Harness, START_TIMEOUT_MS, startHarness } from "./harness.ts";
import { type RecordedRequest, type RecordingOrigin, startRecordingOrigin } from "./recording-origin.ts";

const MB = 1_000_000;
const UPLOAD_MB = 200;
/** Room for buffers and garbage, far below the size of the upload. */
const MAX_GROWTH_BYTES = 60 * MB;
const SAMPLE_INTERVAL_MS = 20;

let origin: RecordingOrigin;
let harness: Harness;

beforeAll(async () => {
  origin = await startRecordingOrigin();
  // In shadow mode requests for matches are passed through too.
  const variables = { CLOUD_CONTROLLER_URL: origin.url, MODE: "shadow" };
  harness = await startHarness({ title: "", bucket: false, variables });
}, START_TIMEOUT_MS);
afterAll(async () => {
  await harness.stop();
  await origin.close();
});

const fetchRecorded = async (path: string, init: RequestInit = {}) =>
  (await (await fetch(harness.worker.url + path, init)).json()) as RecordedRequest;

it("passes method, path, query, headers and body through unchanged", async () => {
  const url = "/v3/apps/a%2Fb/x?names=a%2Cb,c&per_page=50&q=%C3%BC+1&empty=&order_by=-created_at";
  const headers = { Authorization: "bearer of nothing", "X-Custom": "yes", Accept: "text/*" };
  expect(await fetchRecorded(url, { method: "PATCH", headers, body: "body" })).toMatchObject({
    method: "PATCH",
    url,
    headers: { authorization: "bearer of nothing", "x-custom": "yes", accept: "text/*" },
    sha1: createHash("sha1").update("body").digest("hex"),
  });
});

it.each([
  ["with a Content-Length", "content-length", 1],
  ["with a Content-Length, too large to be compared", "content-length", 20],
  ["in chunks", "transfer-encoding", 1],
  ["in chunks, too large to be compared", "transfer-encoding", 20],
])(
  "passes a request for matches through unchanged in shadow mode, %s (R2.5)",
  async (_, framing, megabytes) => {
    const body = randomBytes(megabytes * MB);
    const isChunked = framing === "transfer-encoding";
    const sent = isChunked ? { body: new Blob([body]).stream(), duplex: "half" } : { body };
    const init = { method: "POST", headers: { Authorization: "bearer x" }, ...sent } as RequestInit;
    const received = await fetchRecorded("/v3/resource_matches", init);
    const sha1 = createHash("sha1").update(body).digest("hex");
    expect(received).toMatchObject({
      method: "POST",
      url: "/v3/resource_matches",
      length: body.length,
      sha1,
    });
    expect(received.headers.authorization).toBe("bearer x");
    expect(received.headers[framing]).toBe(isChunked ? "chunked" : String(body.length));
  },
);

it("returns redirects to the client", async () => {
  const response = await fetch(`${harness.worker.url}/redirect`, { redirect: "manual" });
  expect([response.status, response.headers.get("Location")]).toEqual([302, "/elsewhere"]);
});

it("passes WebSocket messages through in both directions", async () => {
  const socket = new WebSocket(`${harness.worker.url.replace("http", "ws")}/v1/stream?app=1`);
  const reply = await new Promise((resolve, reject) => {
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = reject;
  });
  socket.close();
  expect(reply).toBe("/v1/stream?app=1 hello");
});

it.skipIf(!existsSync("/proc/self/stat"))("streams an upload without keeping it in memory", async () => {
  const rss = () => harness.worker.usage().bytes;
  const before = rss();
  expect(before).toBeGreaterThan(0);
  let peak = before;
  let isDone = false;
  const sampling = (async () => {
    while (!isDone) {
      peak = Math.max(peak, rss());
      await pause(SAMPLE_INTERVAL_MS);
    }
  })();

  const chunk = randomBytes(MB);
  const hash = createHash("sha1");
  const upload = request(`${harness.worker.url}/v3/packages/1/upload`, {
    method: "POST",
    headers: { "Content-Length": UPLOAD_MB * MB },
  });
  const responded = new Promise<Readable>((resolve, reject) => {
    upload.once("response", resolve).once("error", reject);
  });
  const chunks = Readable.from(
    (function* () {
      for (let i = 0; i < UPLOAD_MB; i++) {
        hash.update(chunk);
        yield chunk;
      }
    })(),
  );
  await pipeline(chunks, upload);
  const received = (await json(await responded)) as RecordedRequest;
  isDone = true;
  await sampling;

  expect(received).toMatchObject({ length: UPLOAD_MB * MB, sha1: hash.digest("hex") });
  expect(peak - before).toBeLessThan(MAX_GROWTH_BYTES);
});
