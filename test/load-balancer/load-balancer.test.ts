import { createHash, randomBytes, randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { resourcePoolInThread } from "../cli/command.ts";
import { createLargeApp } from "../e2e/large-app.ts";
import { type RecordedRequest, type RecordingOrigin, startRecordingOrigin } from "../e2e/recording-origin.ts";
import { cfHeaders, newTraceId } from "../foundation/cf-push/cf-headers.ts";
import { type Push, push } from "../foundation/cf-push/push-client.ts";
import { type Foundation, startFoundation } from "../foundation/foundation.ts";
import { freePort } from "../foundation/loopback.ts";
import { findCf, runCf } from "../real-cf/cf-cli.ts";
import { type AppFixture, createVariedApp } from "../support/node/app-fixture.ts";
import { findProgram } from "../support/node/find-program.ts";
import { comparePackage } from "../support/node/package-comparison.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";
import { type Balancer, type BalancerOptions, startHaproxy, startNginx, WORKER_HOST } from "./balancer.ts";
import { createCertificate } from "./certificate.ts";
import { type Edge, startEdge } from "./edge.ts";
import { type NameServer, startNameServer } from "./name-server.ts";

const STDERR = 2;
const START_TIMEOUT_MS = 60_000;
const MATCHES = "/v3/resource_matches";
const [KIB, MIB] = [1_024, 1_048_576];
const UPLOAD_MB = 300;
/** The balancers wait three seconds for the Worker. */
const PUSH_TIMEOUT_MS = 30_000;

const cf = findCf();
const openssl = findProgram("openssl");
const BALANCERS = [
  { name: "nginx", program: findProgram("nginx"), start: startNginx, savesRequestInFlight: true },
  { name: "HAProxy", program: findProgram("haproxy"), start: startHaproxy, savesRequestInFlight: false },
];

describe.each(BALANCERS)("$name", ({ name, program, start, savesRequestInFlight }) => {
  if (!program || !openssl) {
    writeSync(STDERR, `\nSkipped the tests of ${name}: install ${name.toLowerCase()} and openssl.\n`);
    return it.skip(`${name} and openssl are not installed`, () => {});
  }
  let directory: string;
  let foundation: Foundation;
  let origin: RecordingOrigin;
  let nameServer: NameServer;
  let variables: Record<string, string>;
  let worker: Workerd;
  let edge: Edge;
  let balancer: Balancer;
  let options: Omit<BalancerOptions, "port">;
  let app: AppFixture;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "load-balancer-"));
    const limits = { minimumSize: 0 };
    foundation = await startFoundation({ poolDirectory: join(directory, "pool"), limits });
    const [port, certificate] = [await freePort(), await createCertificate(directory, WORKER_HOST)];
    variables = {
      UAA_URL: foundation.uaa.url,
      // Like the API's name in production, this leads to the balancer.
      CLOUD_CONTROLLER_URL: `http://127.0.0.1:${port}`,
    };
    [origin, nameServer, worker, app] = await Promise.all([
      startRecordingOrigin(),
      startNameServer(),
      startWorkerd({ modules: inject("worker"), variables }),
      createVariedApp(),
    ]);
    edge = await startEdge(worker.url, await readFile(certificate));
    options = {
      program,
      cloudControllerPort: foundation.cloudController.port,
      workerPort: edge.port,
      nameServerPort: nameServer.port,
      apiCertificate: await createCertificate(directory, "api.sys.example.com"),
      authorities: certificate,
    };
    balancer = await start({ ...options, port });
  }, START_TIMEOUT_MS);
  beforeEach(async () => {
    edge.reset(worker.url);
    foundation.cloudController.faults.set({});
    await edge.start();
    await waitForWorker(balancer);
    edge.reset(worker.url);
    worker.lines.length = 0;
    foundation.cloudController.stats.reset();
  });
  afterAll(async () => {
    await balancer.stop();
    await Promise.all([edge.stop(), nameServer.close(), worker.stop(), foundation.close(), origin.close()]);
    await Promise.all([app.remove(), rm(directory, { recursive: true, force: true })]);
  }, START_TIMEOUT_MS);

  const send = async (headers: Record<string, string> = {}, body = "{}", url = balancer.url) =>
    fetch(url + MATCHES, { method: "POST", headers, body });
  /** Sends requests until the Worker gets one: HAProxy needs two successful checks. */
  const waitForWorker = ({ url }: Balancer) =>
    waitFor(async () => {
      await send({}, "{}", url);
      expect(matchRequests()).not.toEqual([]);
    });
  /** Sends requests until the Cloud Controller gets one: HAProxy needs a failed check. */
  const waitForCloudController = ({ url }: Balancer) =>
    waitFor(async () => {
      await send({}, "{}", url);
      expect(lookUps()).toBeGreaterThan(0);
    });
  /** Requests that the Worker has received, without HAProxy's checks. */
  const matchRequests = () => edge.requests.filter(({ path }) => path !== `${MATCHES}/cache`);
  const pushApp = async ({ path, url, onResponse }: PushAppOptions = {}): Promise<Push> => {
    const appDirectory = path ?? app.path;
    const target = { url: url ?? balancer.url, token: await foundation.uaa.issueToken() };
    const pushed = await push(appDirectory, target, onResponse ? { onResponse } : {});
    expect(await comparePackage(pushed.packageGuid, appDirectory, target)).toEqual([]);
    return pushed;
  };
  /** The requests for matches that the Cloud Controller has received. */
  const lookUps = () => foundation.cloudController.stats.requests[`POST ${MATCHES}`] ?? 0;

  it("pushes an app through the Worker, whose own requests go to the Cloud Controller", async () => {
    await pushApp();
    const { matched } = await pushApp();
    expect(matched).toBeGreaterThan(5);
    expect(matchRequests().map(({ method, path }) => `${method} ${path}`)).toEqual(
      Array(2).fill(`POST ${MATCHES}`),
    );
    expect(matchRequests()[0]).toMatchObject({ serverName: WORKER_HOST, headers: { host: WORKER_HOST } });
    expect(worker.lines.filter(({ event }) => event === "matched")).toHaveLength(2);
    expect(lookUps()).toBeGreaterThanOrEqual(2);
  });

  it.each([
    ["MINIMUM_SIZE", "64k"],
    ["UAA_URL", "http://127.0.0.1:1"],
    ["UAA_ISSUER", "https://uaa.other.example.com/oauth/token"],
  ])("pushes an app by the Cloud Controller if the Worker's %s is %s (R2.6)", async (variable, value) => {
    const broken = await startWorkerd({
      modules: inject("worker"),
      variables: { ...variables, [variable]: value },
    });
    edge.reset(broken.url);
    for (const url of [balancer.url, broken.url]) {
      expect((await pushApp({ url })).matched).toBeGreaterThan(5);
    }
    expect(broken.lines).toContainEqual(expect.objectContaining({ event: "failed-open" }));
    expect(lookUps()).toBe(2);
    await broken.stop();
  });

  it("sends only POST of the exact path to the Worker", async () => {
    const paths = [
      "/v3/info",
      "/v3/resource_matches/",
      "/v3/resource_matches/cache",
      "/v3/resource_matchesx",
    ];
    for (const path of paths) await fetch(balancer.url + path, { method: "POST", body: "{}" });
    for (const method of ["GET", "OPTIONS", "DELETE"]) await fetch(balancer.url + MATCHES, { method });
    expect(matchRequests()).toEqual([]);
    await send();
    expect(matchRequests()).toHaveLength(1);
  });

  it.each([
    { "CF-Worker": "example.com" },
    { Via: "1.1 resource-matches" },
    { Via: "1.1 a, 1.1 resource-matches" },
  ])("sends requests of the Worker to the Cloud Controller: %o", async (headers) => {
    expect((await send(headers)).status).toBe(401);
    expect([matchRequests(), lookUps()]).toEqual([[], 1]);
  });

  it("pushes an app by the Cloud Controller while the Worker is stopped", async () => {
    await edge.stop();
    await waitForCloudController(balancer);
    expect((await pushApp()).matched).toBeGreaterThan(5);
    expect(matchRequests()).toEqual([]);
  });

  if (savesRequestInFlight) {
    const statuses = [500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 530];
    it.each([...statuses, "cut", "hang"] as const)(
      "lets the Cloud Controller respond to the same request if the Worker's response is: %s",
      async (fault) => {
        edge.setFault(fault);
        expect((await pushApp()).matched).toBeGreaterThan(5);
        expect([matchRequests().length, lookUps()]).toEqual([1, 1]);
      },
      PUSH_TIMEOUT_MS,
    );

    it("returns 413 to a body of more than 15 MiB", async () => {
      expect((await send({}, bodyOf(15 * MIB + 1))).status).toBe(413);
      expect(matchRequests()).toEqual([]);
    });
  } else {
    it.each([500, 530, "cut", "hang"] as const)(
      "fails the request in flight if the Worker's response is: %s, and not the next one",
      async (fault) => {
        edge.setFault(fault);
        await expect(pushApp()).rejects.toMatchObject({ name: "PushFailed", status: expect.any(Number) });
        expect((await pushApp()).matched).toBeGreaterThan(5);
        expect([matchRequests().length, lookUps()]).toEqual([1, 1]);
      },
      PUSH_TIMEOUT_MS,
    );
  }

  it.each([403, 409, 413, 422, 429])("returns the Worker's %s to the client", async (status) => {
    edge.setFault(status);
    const response = await send();
    expect([response.status, await response.text()]).toEqual([status, "<html>error code</html>"]);
    expect(lookUps()).toBe(0);
  });

  it(`${savesRequestInFlight ? "ends" : "fails"} a push if the Worker stops during a request`, async () => {
    foundation.cloudController.faults.set({ [`POST ${MATCHES}`]: { latency_ms: 1_500, times: 1 } });
    const pushing = pushApp();
    await vi.waitFor(() => expect(lookUps()).toBe(1), { timeout: 5_000 });
    await edge.stop();
    if (savesRequestInFlight) expect((await pushing).matched).toBeGreaterThan(5);
    else await expect(pushing).rejects.toMatchObject({ name: "PushFailed", status: 502 });
    await pushApp();
  });

  it(
    "ends a push if the Worker stops between two of its requests",
    async () => {
      const { path, remove } = await createLargeApp(5_100);
      // Writing the files blocks this process, so that a check may have failed.
      await waitForWorker(balancer);
      edge.reset(worker.url);
      const stop = async () => {
        await edge.stop();
        await waitForCloudController(balancer);
      };
      expect(await pushApp({ path, onResponse: stop })).toMatchObject({ requested: 5_100, matched: 0 });
      expect(matchRequests()).toHaveLength(1);
      await remove();
    },
    PUSH_TIMEOUT_MS,
  );

  it.skipIf(!cf)(
    "lets the real cf CLI push an app, with and without the Worker",
    async () => {
      const home = await mkdtemp(join(directory, "cf-"));
      foundation.cloudController.setExternalUrl(balancer.url);
      const run = async (...args: string[]) =>
        expect(await runCf(cf as string, args, home)).toMatchObject({ code: 0 });
      await run("login", "-a", balancer.url, "-u", "developer", "-p", "developer");
      await run("push", name, "-p", app.path, "--no-start");
      expect(matchRequests()).toHaveLength(1);
      await edge.stop();
      await waitForCloudController(balancer);
      await run("push", name, "-p", app.path, "--no-start");
      expect(matchRequests()).toHaveLength(1);
    },
    2 * PUSH_TIMEOUT_MS,
  );

  it("passes a body of 15 MiB to the Worker", async () => {
    const headers = { Authorization: `bearer ${await foundation.uaa.issueToken()}` };
    const response = await send(headers, bodyOf(15 * MIB));
    expect(response.status).toBe(201);
    expect(worker.lines).toContainEqual(expect.objectContaining({ event: "matched", resources: 5_000 }));
  });

  it("keeps trace ids, and replaces X-Forwarded-For by the client's address", async () => {
    const traceId = newTraceId();
    const headers: Record<string, string> = { ...cfHeaders(traceId), "X-Forwarded-For": "192.0.2.1" };
    const response = await send(headers);
    expect(response.headers.get("X-B3-TraceId")).toBe(traceId);
    expect(matchRequests()[0]?.headers).toMatchObject({
      "x-b3-traceid": traceId,
      "user-agent": headers["User-Agent"],
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": expect.stringMatching(/^https?$/),
    });
  });

  it("keeps trace ids in a request that the Worker passes through, and no address that a client claims", async () => {
    const port = await freePort();
    const shadow = await startWorkerd({
      modules: inject("worker"),
      variables: { ...variables, MODE: "shadow", CLOUD_CONTROLLER_URL: `http://127.0.0.1:${port}` },
    });
    edge.reset(shadow.url);
    const recording = await start({
      ...options,
      port,
      cloudControllerPort: Number(new URL(origin.url).port),
    });
    await waitForWorker(recording);
    const headers: Record<string, string> = {
      ...cfHeaders(newTraceId()),
      "X-Forwarded-For": "192.0.2.1",
      "Content-Type": "application/json",
    };
    const response = await send(headers, "{}", recording.url);
    const { headers: received } = (await response.json()) as RecordedRequest;
    expect(received).toMatchObject({
      "x-b3-traceid": headers["X-B3-TraceId"],
      "x-b3-spanid": headers["X-B3-SpanId"],
      "user-agent": headers["User-Agent"],
      "x-forwarded-host": WORKER_HOST,
      via: "1.1 resource-matches",
    });
    // Only Cloudflare's.
    expect(received["x-forwarded-for"]).toBe("127.0.0.1");
    await Promise.all([recording.stop(), shadow.stop()]);
  });

  it("lets doctor find the Worker at the address that cf uses", async () => {
    const token = await foundation.uaa.issueToken({
      scopes: ["cloud_controller.admin", "cloud_controller.write"],
    });
    const addresses = ["--url", worker.url, "--api", balancer.url];
    const { stdout } = await resourcePoolInThread(["doctor", ...addresses], { env: { CF_TOKEN: token } });
    for (const check of [
      "route",
      "trace id",
      "read-through",
      "other requests",
      "cloud controller",
      "api version",
    ]) {
      expect(stdout).toMatch(new RegExp(`^ok +${check} `, "m"));
    }
    expect(stdout).not.toMatch(/^FAIL/m);
  });

  it("passes an upload of 300 MB to the Cloud Controller, past the Worker", async () => {
    const past = await start({ ...options, cloudControllerPort: Number(new URL(origin.url).port) });
    const { recorded, sha1 } = await upload(`${past.url}/v3/packages/${randomUUID()}/upload`);
    expect(recorded).toMatchObject({ method: "POST", length: UPLOAD_MB * MIB, sha1 });
    expect(matchRequests()).toEqual([]);
    await past.stop();
  });

  it("sends requests to the Cloud Controller if the Worker's certificate is not trusted", async () => {
    const suspicious = await start({ ...options, authorities: options.apiCertificate });
    await waitForCloudController(suspicious);
    expect(matchRequests()).toEqual([]);
    await suspicious.stop();
  });

  it("sends requests to the Cloud Controller if the Worker's certificate has another name", async () => {
    const other = await startEdge(worker.url, await readFile(options.apiCertificate));
    const suspicious = await start({
      ...options,
      workerPort: other.port,
      authorities: options.apiCertificate,
    });
    await waitForCloudController(suspicious);
    expect(other.requests).toEqual([]);
    await Promise.all([suspicious.stop(), other.stop()]);
  });

  it("starts while the Worker's name can't be resolved, and finds the Worker later", async () => {
    nameServer.setAvailable(false);
    const early = await start(options);
    expect((await send({}, "{}", early.url)).status).toBe(401);
    expect(matchRequests()).toEqual([]);
    nameServer.setAvailable(true);
    await waitForWorker(early);
    await early.stop();
  });
});

const waitFor = (test: () => Promise<void>) => vi.waitFor(test, { timeout: 10_000, interval: 50 });

interface PushAppOptions {
  /** Default: that of a small app. */
  path?: string;
  /** Default: the load balancer's. */
  url?: string;
  onResponse?: () => Promise<void>;
}

/** A request for 5,000 matches with a length in bytes, in canonical form. */
function bodyOf(length: number): string {
  const resources = Array.from({ length: 5_000 }, (_, index) => ({
    checksum: { value: index.toString(16).padStart(40, "a") },
    size_in_bytes: KIB,
    path: "p".repeat(2_900),
    mode: "644",
  }));
  const text = JSON.stringify({ resources });
  return `{${" ".repeat(length - text.length)}${text.slice(1)}`;
}

async function upload(url: string): Promise<{ recorded: RecordedRequest; sha1: string }> {
  const chunk = randomBytes(MIB);
  const hash = createHash("sha1");
  const request = httpRequest(url, { method: "POST", headers: { "Content-Length": UPLOAD_MB * MIB } });
  const responded = new Promise<Readable>((resolve, reject) => {
    request.once("response", resolve).once("error", reject);
  });
  const chunks = function* () {
    for (let index = 0; index < UPLOAD_MB; index++) {
      hash.update(chunk);
      yield chunk;
    }
  };
  await pipeline(Readable.from(chunks()), request);
  return { recorded: (await json(await responded)) as RecordedRequest, sha1: hash.digest("hex") };
}
