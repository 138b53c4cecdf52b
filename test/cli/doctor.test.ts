import { mkdir, writeFile } from "node:fs/promises";
import { type IncomingMessage, type ServerResponse, request as send } from "node:http";
import { join } from "node:path";
import { beforeAll, expect, inject, test, vi } from "vitest";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { startCloudController } from "../foundation/cloud-controller/cloud-controller.ts";
import { type Foundation, startFoundation } from "../foundation/foundation.ts";
import type { TokenOptions } from "../foundation/uaa/token.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";
import { sha1Of } from "./app.ts";
import { afterTests, resourcePool, resourcePoolInThread, temporaryDirectory } from "./command.ts";
import { NON_INTEGER, startEndpoint, startServer } from "./endpoint.ts";
import { respond, respondWithError } from "./fake-cache.ts";
import { fastClock } from "./fast-clock.ts";

const CACHE_PATH = "/v3/resource_matches/cache";
const FILES = ["a", "b", "c"].map((letter, index) => letter.repeat(200_000 + index));
const ADMIN = ["cloud_controller.write", "cloud_controller.admin"];

let foundation: Foundation;
let poolDirectory: string;
let worker: Workerd;
let admin: string;

/** Reports files to the catalog of a Worker, and waits until they are published. */
async function publish(files: readonly string[], { url }: Pick<Workerd, "url">): Promise<void> {
  const present = files.map((text) => ({ checksum: { value: sha1Of(text) }, size_in_bytes: text.length }));
  const headers = { Authorization: `bearer ${admin}` };
  const report = { method: "POST", headers, body: JSON.stringify({ present }) };
  expect((await fetch(`${url}${CACHE_PATH}/observations`, report)).status).toBe(200);
  const isPublished = async () => {
    const { published, snapshot } = await statusOf(url);
    expect(published && snapshot).not.toBeNull();
  };
  await vi.waitFor(isPublished, { timeout: 30_000, interval: 200 });
}

async function statusOf(url: string): Promise<CacheStatus> {
  const headers = { Authorization: `bearer ${admin}` };
  return (await (await fetch(`${url}${CACHE_PATH}`, { headers })).json()) as CacheStatus;
}

/** A Worker with a Cloud Controller. The files of its pool are in the catalog. */
beforeAll(async () => {
  poolDirectory = await temporaryDirectory();
  foundation = await startFoundation({ poolDirectory });
  afterTests(() => foundation.close());
  const { uaa, cloudController } = foundation;
  for (const text of FILES) {
    await cloudController.pool.add(sha1Of(text), text.length, Buffer.from(text));
  }
  worker = await startWorkerd({
    modules: inject("worker"),
    variables: {
      UAA_URL: uaa.url,
      CLOUD_CONTROLLER_URL: cloudController.url,
      MINIMUM_SIZE: "65536",
      KEYS_PER_DAY: "10",
    },
  });
  afterTests(() => worker.stop());
  admin = await uaa.issueToken({ scopes: ADMIN });
  await publish(FILES, worker);
}, 90_000);

interface DoctorOptions {
  token?: string | TokenOptions;
  /** By default the Worker's. */
  url?: string;
  api?: string;
  cloudController?: string;
  maxPackageSize?: number;
  run?: typeof resourcePool;
  env?: Record<string, string>;
}

/** Runs the command. Returns its lines, and those of them that are not ok. */
async function doctor({
  token = admin,
  url = worker.url,
  api,
  cloudController,
  maxPackageSize,
  run = resourcePoolInThread,
  env = {},
}: DoctorOptions) {
  const CF_TOKEN = typeof token === "string" ? token : await foundation.uaa.issueToken(token);
  const options = { api, "cloud-controller": cloudController, "max-package-size": maxPackageSize };
  const args = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, `${value}`],
  );
  const { code, stdout, stderr } = await run(["doctor", "--url", url, ...args], {
    env: { CF_TOKEN, ...env },
  });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return { code, stderr, lines, problems: lines.filter((line) => !line.startsWith("ok ")) };
}

const problem = (level: "warn" | "FAIL", name: string, text: RegExp) =>
  expect.stringMatching(new RegExp(`^${level} +${name} +${text.source}`));

/**
 * Starts a proxy in front of the Worker, or of another server.
 *
 * @param intercept responds itself, or returns undefined to have the request forwarded
 * @param target URL of the server for a request
 */
function startProxy(
  intercept: (request: IncomingMessage, response: ServerResponse) => unknown,
  target: (request: IncomingMessage) => string = () => worker.url,
): Promise<string> {
  return startServer(async (request, response) => {
    if ((await intercept(request, response)) !== undefined) return;
    const { method, headers, url = "" } = request;
    const forwarded = send(`${target(request)}${url}`, { method: method ?? "GET", headers }, (original) => {
      response.writeHead(original.statusCode ?? 500, original.headers);
      original.pipe(response);
    });
    forwarded.on("error", () => response.destroy());
    // The headers of a request without a body are sent now, too.
    forwarded.flushHeaders();
    request.pipe(forwarded);
  });
}

test("prints only ok lines for a healthy Worker and foundation", async () => {
  const { cloudController } = foundation;
  const { code, lines, stderr } = await doctor({ cloudController: cloudController.url, run: resourcePool });
  expect(lines.map((line) => line.replace(/ {2,}/g, ": "))).toEqual([
    expect.stringMatching(/^ok: token: Issued for developer by http:\S+, valid for 9 min more\.$/),
    "ok: scopes: cloud_controller.admin: it may change the cache.",
    expect.stringMatching(/^ok: worker: Version \d+\.\d+\.\d+ responds at /),
    expect.stringMatching(/^ok: clock: /),
    "ok: uaa keys: The Worker accepts this token, and refuses it with a wrong signature.",
    `ok: route: ${worker.url}/v3/resource_matches leads to the Worker.`,
    "ok: trace id: The Worker receives the X-B3-TraceId of a request. It identifies a push of cf CLI.",
    "ok: read-through: The Worker looks up in the Cloud Controller what is not in the cache.",
    "ok: edge: The endpoint matches 3 of 3 files of the cache.",
    `ok: other requests: ${worker.url}/ leads to a Cloud Controller.`,
    expect.stringMatching(/^ok: upload limit: 127\.0\.0\.1:\d+ is not proxied by Cloudflare/),
    `ok: cloud controller: It responds at ${cloudController.url}.`,
    "ok: minimum size: As far as it can be checked, the Cloud Controller's limit is 65536 bytes too.",
    "ok: maximum size: As far as it can be checked, the Cloud Controller's limit is 536870912 bytes too.",
    "ok: file modes: The Cloud Controller requires mode 0600, and MINIMUM_FILE_MODE is 0600.",
    "ok: api version: The Cloud Controller has API 3.228.0. It verifies the files that it takes from the pool.",
    "ok: feature flags: resource_matching is on, and so is FEATURE_RESOURCE_MATCHING.",
    "ok: feature flags: app_bits_upload is on, and so is FEATURE_APP_BITS_UPLOAD.",
    "ok: matching: Matching is on.",
    "ok: catalog: The catalog has 3 resources.",
    expect.stringMatching(/^ok: manifest: The manifest was written \d+ s ago\./),
    expect.stringMatching(/^ok: snapshot: The snapshot of 3 resources was built \d+ s ago\.$/),
    expect.stringMatching(/^ok: keys: /),
    "ok: suspension: The cache is not suspended.",
    expect.stringMatching(/^ok: last hour: This isolate /),
  ]);
  expect(stderr).toBe(`Checking ${worker.url} …\nChecking ${cloudController.url} …\n`);
  expect(code).toBe(0);
});

test("prints the size limits to set, to the byte, when the Cloud Controller has other ones", async () => {
  const other = async (minimumSize: number, maximumSize: number) => {
    const limits = { minimumSize, maximumSize };
    const { close, url } = await startCloudController({ uaa: foundation.uaa, poolDirectory, limits });
    afterTests(close);
    return doctor({ cloudController: url });
  };
  expect(await other(123_456, 234_567)).toMatchObject({
    code: 3,
    problems: [
      problem("FAIL", "minimum size", /.*larger than 123456 bytes: set MINIMUM_SIZE = "123456"\./),
      problem("FAIL", "maximum size", /.*smaller than 234567 bytes: set MAXIMUM_SIZE = "234567"\./),
    ],
  });
  expect(await other(1_000, 2 ** 40)).toMatchObject({
    code: 3,
    problems: [
      problem("warn", "minimum size", /.*of 1001 bytes or more, .*: set MINIMUM_SIZE = "1000"\./),
      problem(
        "warn",
        "maximum size",
        /.*of 1099511627775 bytes or less, .*: set MAXIMUM_SIZE = "1099511627776"\./,
      ),
    ],
  });
});

test("waits only once for a server that does not respond, and fails its other lines at once", async () => {
  let requests = 0;
  const silent = await startServer(() => {
    requests += 1;
  });
  const { code, problems } = await doctor({
    api: silent,
    cloudController: `${silent}/other`,
    run: resourcePool,
    env: fastClock(10),
  });
  const { host } = new URL(silent);
  const sameServer = (target: string) =>
    new RegExp(
      `No response from ${silent}${target}: ${host} did not respond to an earlier request in time, so this one was not sent\\. ` +
        `The first line about ${host} has the reason\\.$`,
    );
  expect(problems).toEqual([
    problem("FAIL", "route", /No response from \S+\/v3\/resource_matches: .* did not respond within 30 s\. /),
    problem("FAIL", "other requests", sameServer("/")),
    problem("FAIL", "cloud controller", sameServer("/other/v3/resource_matches")),
  ]);
  expect({ code, requests }).toEqual({ code: 3, requests: 1 });
});

test("warns without --cloud-controller that sizes and modes were not compared", async () => {
  expect(await doctor({})).toMatchObject({
    code: 3,
    problems: [
      problem("warn", "size limits", /Sizes and file modes were not compared .*Set --cloud-controller/),
    ],
  });
});

test.concurrent("changes nothing in the cache of a pool that was wiped", async () => {
  const { url: wiped, requests } = await startEndpoint(() => false);
  const variables = { UAA_URL: foundation.uaa.url, CLOUD_CONTROLLER_URL: wiped, MINIMUM_SIZE: "65536" };
  const ownWorker = await startWorkerd({ modules: inject("worker"), variables });
  afterTests(ownWorker.stop);
  const files = Array.from({ length: 12 }, (_, index) => `${index}`.padEnd(100_000 + index, "."));
  await publish(files, ownWorker);
  // Without the probe header a request suspends the cache if the Cloud Controller rejects its ten matches.
  for (let run = 0; run < 2; run++) {
    const { lines } = await doctor({ url: ownWorker.url });
    expect(lines).toContainEqual(expect.stringMatching(/^ok +edge +The endpoint matches 10 of 10 files/));
    expect(lines).toContainEqual(expect.stringMatching(/^ok +suspension /));
  }
  // The Worker looks up the file that does not exist, and verifies none of the others.
  expect(requests.map(({ resources }) => resources.length)).toEqual([1, 1]);
  const status = await statusOf(ownWorker.url);
  expect(status).toMatchObject({ entries: 12, suspended_until: null, last_hour: { requests: 0 } });
});

test.concurrent("accepts the remedy for a suspension, and prints when it ends", async () => {
  const { url: pruned } = await startEndpoint(() => false);
  const variables = { UAA_URL: foundation.uaa.url, CLOUD_CONTROLLER_URL: pruned, MINIMUM_SIZE: "65536" };
  const { url, stop } = await startWorkerd({ modules: inject("worker"), variables });
  afterTests(stop);
  const files = Array.from({ length: 12 }, (_, index) => `${index}`.padEnd(100_000 + index, "."));
  await publish(files, { url });
  const resources = files.map((text) => ({ checksum: { value: sha1Of(text) }, size_in_bytes: text.length }));
  const headers = { Authorization: `bearer ${admin}` };
  const push = () =>
    fetch(`${url}/v3/resource_matches`, { method: "POST", headers, body: JSON.stringify({ resources }) });
  // The Cloud Controller rejects five of the matches after the first response, and then all.
  await vi.waitFor(async () => {
    await push();
    expect((await statusOf(url)).suspended_until).not.toBeNull();
  });
  const suspension = async () =>
    (await doctor({ url })).lines.filter((line) => / (suspension|edge|catalog) /.test(line));
  expect(await suspension()).toEqual([
    expect.stringMatching(/^ok +catalog +The catalog has 12 resources/),
    expect.stringMatching(
      /^FAIL +suspension +The cache is suspended until \d\d:\d\d UTC, in \d+ (s|min), .*`resource-pool forget --yes`/,
    ),
  ]);

  const env = { CF_TOKEN: admin };
  const blobstore = await temporaryDirectory();
  const [kept = ""] = files;
  const sha1 = sha1Of(kept);
  const folder = join(blobstore, "app_bits_cache", sha1.slice(0, 2), sha1.slice(2, 4));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, sha1), kept);
  const args = ["sync", "--prune", "--yes", "--blobstore", blobstore, "--url", url];
  // Not in a thread: the command computes when it started from the start of the process.
  expect(await resourcePool(args, { env })).toMatchObject({ code: 0 });
  expect(await suspension()).toEqual([
    expect.stringMatching(/^ok +catalog +The catalog has 1 resource/),
    expect.stringMatching(
      /^warn +suspension +The cache is suspended until .* Since it began, 11 resources were removed from the cache\. .*nothing more to do/,
    ),
  ]);

  const forgotten = await resourcePoolInThread(["forget", "--yes", "--url", url], { env });
  expect(forgotten).toMatchObject({
    code: 0,
    stdout: `Removed 1 resource from the cache of ${url}. The suspension has ended.\n`,
  });
  expect(await suspension()).toEqual([
    expect.stringMatching(/^warn +catalog +The catalog is empty/),
    expect.stringMatching(/^ok +suspension +The cache is not suspended/),
  ]);
});

test.concurrent("says that the edge was not checked if no file of the cache may match", async () => {
  const status = await statusOf(worker.url);
  const url = await startProxy((request, response) => {
    if (request.url !== CACHE_PATH || request.headers.authorization !== `bearer ${admin}`) return undefined;
    respond(response, 200, { ...status, configuration: { ...status.configuration, MINIMUM_SIZE: 300_000 } });
    return true;
  });
  const { problems } = await doctor({ url });
  expect(problems).toContainEqual(problem("warn", "edge", /It was not checked: no file of the cache/));
});

/** One test: the faults of the Cloud Controller affect every request. */
test("reports a Cloud Controller that is unavailable or has other flags", async () => {
  const { faults, url } = foundation.cloudController;
  faults.set({
    "GET /v3/feature_flags": {
      status: 200,
      body: { resources: [{ name: "resource_matching", enabled: false }] },
    },
    "POST /v3/resource_matches": { status: 500 },
  });
  expect((await doctor({ cloudController: url })).problems).toEqual([
    problem("FAIL", "read-through", /.*see `lookup-incomplete` in the log/),
    problem("FAIL", "cloud controller", /.*returned 500/),
    problem("FAIL", "feature flags", /resource_matching is off: set FEATURE_RESOURCE_MATCHING = "false"\./),
    problem("warn", "feature flags", /.*does not list app_bits_upload/),
  ]);
  faults.set({ "GET /": { status: 502, body: "<h1>Bad gateway</h1>" } });
  expect((await doctor({})).problems).toEqual([
    problem(
      "FAIL",
      "other requests",
      /.*returned 502 with a web page: "Bad gateway"\. Until this is fixed, cf can't log in\. Try again .*the Cloud Controller's log/,
    ),
    problem("warn", "size limits", /./),
  ]);
  const refused = { errors: [{ detail: "Invalid Auth Token", title: "CF-InvalidAuthToken", code: 1000 }] };
  faults.set({ "POST /v3/resource_matches": { status: 401, body: refused } });
  expect((await doctor({})).problems).toEqual([
    problem("FAIL", "route", /.*returned 401: .*its Cloud Controller refused it/),
    problem("warn", "size limits", /./),
  ]);
  faults.set({});
});

const POST = "POST /v3/resource_matches";
const UNAVAILABLE = "The Cloud Controller is currently unavailable";
test.concurrent.each<[string, number, string, "warn" | "FAIL", string, RegExp]>([
  [
    `GET ${CACHE_PATH}`,
    502,
    "",
    "FAIL",
    "worker",
    /.*returned 502\. Try again in a minute\. .*see the Worker's log/,
  ],
  [
    `GET ${CACHE_PATH}`,
    429,
    "",
    "FAIL",
    "worker",
    /.*returned 429\. There were too many requests: try again in a minute/,
  ],
  [
    `GET ${CACHE_PATH}`,
    500,
    "<h1>1101</h1>",
    "FAIL",
    "worker",
    /.*returned 500 with a web page: "1101"\. Try again in a minute/,
  ],
  ["wrong signature", 503, "", "warn", "uaa keys", /Could not check .*returned 503\. Try again in a minute/],
  [POST, 503, "", "FAIL", "route", /.*returned 503\. Try again in a minute\. .*the Worker's log/],
  [POST, 429, "", "FAIL", "route", /.*returned 429\. There were too many requests/],
  [
    POST,
    403,
    "",
    "FAIL",
    "route",
    /.*returned 403\. The token was accepted before\. .*does the route lead to another server\?/,
  ],
  [
    POST,
    404,
    "",
    "FAIL",
    "route",
    /.*returned 404\. The Worker never responds like this\. Which server does the route lead to\?/,
  ],
  [
    "GET /",
    503,
    UNAVAILABLE,
    "FAIL",
    "other requests",
    /.*The Worker can't reach it, .*Can CLOUD_CONTROLLER_URL be reached/,
  ],
  [
    "GET /",
    429,
    "",
    "FAIL",
    "other requests",
    /.*returned 429\. Until this is fixed, cf can't log in\. There were too many requests/,
  ],
  [
    "GET /",
    403,
    "",
    "FAIL",
    "other requests",
    /.*returned 403\. A Cloud Controller requires no token for this\. Is there a firewall/,
  ],
  [
    "GET /",
    200,
    "<h1>Hello</h1>",
    "FAIL",
    "other requests",
    /.*returned 200 with a web page: "Hello"\. There is no Cloud Controller at this address, so cf can't log in/,
  ],
])(
  "explains a response to %s with status %i and body %j",
  async (request, status, body, level, name, text) => {
    const url = await startProxy(({ method, url, headers: { authorization } }, response) => {
      const isForged = url === CACHE_PATH && authorization !== `bearer ${admin}`;
      if (request !== (isForged ? "wrong signature" : `${method} ${url}`)) return undefined;
      response.writeHead(status).end(body);
      return true;
    });
    const rest =
      name === "worker" ? [problem("warn", "the rest", /./)] : [problem("warn", "size limits", /./)];
    expect((await doctor({ url })).problems).toEqual([problem(level, name, text), ...rest]);
  },
);

test.concurrent.each<[string, number, RegExp]>([
  [POST, 503, /.*returned 503\. Try again in a minute\. .*the Cloud Controller's log/],
  [POST, 403, /.*returned 403\. A Cloud Controller responds differently/],
  [POST, 201, /.*returned 201\. A Cloud Controller responds differently\. Set --cloud-controller to/],
  [POST, 405, /.*returned 405\. A Cloud Controller responds differently\. Set --cloud-controller to/],
  ["GET /", 502, /.*returned 502\. Try again in a minute/],
  ["GET /", 404, /.*returned 404\. A Cloud Controller responds differently/],
])("rejects a --cloud-controller whose response to %s is %i", async (place, status, text) => {
  const cloudController = await startServer(({ method, url }, response) => {
    if (`${method} ${url}` === place) response.writeHead(status).end();
    else respondWithError(response, 422, NON_INTEGER);
  });
  expect((await doctor({ cloudController })).problems).toEqual([problem("FAIL", "cloud controller", text)]);
});

test.concurrent("warns if the foundation's app_bits_upload is off, so that limits can't be compared", async () => {
  const disabled = { errors: [{ detail: "Feature Disabled", title: "CF-FeatureDisabled", code: 330002 }] };
  const cloudController = await startServer((_, response) => respond(response, 403, disabled));
  expect((await doctor({ cloudController })).problems).toEqual([
    problem(
      "warn",
      "cloud controller",
      /.*returned 403: Feature Disabled .*Sizes and file modes were not compared\.$/,
    ),
  ]);
});

const LEADS_TO_WORKER =
  /.*leads to a Worker, and not to the Cloud Controller\. Set --cloud-controller to .* Via, to the Cloud Controller\./;

test.concurrent("rejects a --cloud-controller that leads to the Worker, and a --url without a Worker", async () => {
  expect((await doctor({ cloudController: worker.url })).problems).toEqual([
    problem("FAIL", "cloud controller", LEADS_TO_WORKER),
  ]);
  // It returns 404 for the operator API, as a Cloud Controller does.
  const cloudController = await startProxy(
    () => undefined,
    (request) => (isMatchRequest(request) ? worker.url : foundation.cloudController.url),
  );
  expect((await doctor({ cloudController })).problems).toEqual([
    problem("FAIL", "cloud controller", LEADS_TO_WORKER),
  ]);
  const { url } = foundation.cloudController;
  expect(await doctor({ url })).toMatchObject({
    code: 3,
    problems: [
      problem(
        "FAIL",
        "worker",
        /.*returned 404: Unknown request \(CF-NotFound, 10000\)\. There is no Worker at this address\. .*route end with a star\? .*--url must be the Worker's own URL\.$/,
      ),
      problem("warn", "the rest", /It was not checked/),
    ],
  });
});

test.concurrent("exits with 1 when no server responds", async () => {
  const { code, lines, stderr } = await doctor({ url: "http://127.0.0.1:9" });
  expect({ code, lines }).toEqual({ code: 1, lines: [] });
  expect(stderr).toMatch(/^No response from .*(bad port|ECONNREFUSED)/m);
});

const REFUSED = ".*returned 401: Invalid Auth Token \\(CF-InvalidAuthToken, 1000\\)\\.";
const SETTINGS_WRONG =
  "If the token is of the right foundation, the Worker's settings are wrong: UAA_ISSUER must be";
test.concurrent.each<[string, string | TokenOptions, RegExp | undefined, string]>([
  [
    "a refresh token",
    { scopes: ADMIN, refresh: true },
    /The token is a refresh token\. .*Get an access token: `export CF_TOKEN="\$\(cf oauth-token\)"`\.$/,
    "The line `token` has the reason, and what to do\\.$",
  ],
  [
    "an expired token",
    { scopes: ADMIN, lifetime: -300, issuer: "https://uaa.example.com/oauth/token" },
    /The token expired 5 min ago\. Get a new one: `export CF_TOKEN="\$\(cf oauth-token\)"`\.$/,
    "The line `token` has the reason, and what to do\\.$",
  ],
  [
    "an expired token of npm start",
    { scopes: ADMIN, lifetime: -300 },
    /The token expired 5 min ago\. Copy the line `export CF_TOKEN=…` that the running `npm start` has printed\.$/,
    "The line `token` has the reason",
  ],
  [
    "an opaque token",
    "opaque",
    /The token is not a JWT, .*oauth-token\)"`\.$/,
    "The line `token` has the reason",
  ],
  [
    "a token of another foundation",
    { scopes: ADMIN, issuer: "https://uaa.elsewhere.example.com/oauth/token" },
    undefined,
    "The token has not expired: issued for developer by https://uaa\\.elsewhere\\.example\\.com/oauth/token, valid for 9 min more\\. " +
      "Is that the UAA of the foundation of 127\\.0\\.0\\.1:\\d+\\? If not, you are logged in to another foundation " +
      "\\(`cf target` shows which\\)\\. Log in to the right one: `cf api <url>`, `cf login`\\. .*If 127\\S+ is the Worker of " +
      `\`npm start\`: copy the line .*${SETTINGS_WRONG} "https://uaa\\.elsewhere`,
  ],
  [
    "a token of an earlier npm start",
    { scopes: ADMIN, audience: ["others"] },
    undefined,
    "The token is from a UAA on this machine \\(http://localhost:\\d+/oauth/token\\), like that of `npm start`\\. Each start signs with " +
      `a new key, .* Copy the line \`export CF_TOKEN=…\` that the running \`npm start\` has printed\\. ${SETTINGS_WRONG} .*\\["others"\\]`,
  ],
])("explains why the Worker refuses %s", async (_, token, tokenProblem, advice) => {
  const outcome = await doctor({ token });
  expect(outcome.problems).toEqual([
    ...(tokenProblem ? [problem("FAIL", "token", tokenProblem)] : []),
    problem("FAIL", "worker", new RegExp(`${REFUSED} ${advice}`)),
    problem("warn", "the rest", /./),
  ]);
  expect(outcome.code).toBe(3);
});

test.concurrent("explains in other subcommands, too, why a token is refused", async () => {
  const status = async (token: TokenOptions | string, url = worker.url) => {
    const CF_TOKEN = typeof token === "string" ? token : await foundation.uaa.issueToken(token);
    const { code, stderr } = await resourcePoolInThread(["status", "--url", url], { env: { CF_TOKEN } });
    expect(code).toBe(1);
    return stderr;
  };
  // Another UAA at the same address, as after a restart.
  const earlier = await startFoundation({ poolDirectory: await temporaryDirectory() });
  const token = await earlier.uaa.issueToken({ scopes: ADMIN, issuer: foundation.uaa.issuer });
  await earlier.close();
  expect(await status(token)).toMatch(
    /returned 401: .*\nThe token is from a UAA on this machine \(http\S+\), like that of `npm start`\. .*Copy the line/,
  );
  const foreign = { scopes: ADMIN, issuer: "https://uaa.elsewhere.example.com/oauth/token" };
  expect(await status(foreign)).toMatch(
    /returned 401: .*\nThe token has not expired: issued for developer by https:\/\/uaa\.elsewhere.*`cf target`/,
  );
  expect(await status({ scopes: ADMIN, lifetime: -300, issuer: foreign.issuer })).toMatch(
    /returned 401: .*\nThe token expired 5 min ago\. Get a new one: `export CF_TOKEN\S+ oauth-token\)"`\. If 127\S+ is the Worker of `npm start`: copy/,
  );
  expect(await status("opaque")).toMatch(
    /\nThe token is not a JWT, .*If 127\S+ is the Worker of `npm start`: copy/,
  );
  const removed = await startServer((_, response) =>
    respond(response, 401, {
      errors: [{ detail: "Authentication error", title: "CF-NotAuthenticated", code: 10002 }],
    }),
  );
  expect(await status(admin, removed)).toMatch(
    /\nThe server has received no token\. A proxy in front of it removes/,
  );
});

test.concurrent.each<[string, number, string, string, RegExp]>([
  [
    "a login page",
    200,
    "text/html",
    "<!doctype html>\n<html><head><title>Sign in &mdash; Example</title></head>",
    /\/v3\/resource_matches\/cache returned 200 with a web page: "Sign in &mdash; Example"\. This is not a response of a Worker of this project\. Is --url right\?$/,
  ],
  [
    "a firewall",
    403,
    "text/html",
    "<html><head><title>Just a moment...</title></head>",
    /.*returned 403 with a web page: "Just a moment\.\.\."\. A firewall, a proxy or a login page in front of the server refuses the request\. Is --url right\?$/,
  ],
  [
    "another web server",
    404,
    "text/html",
    "<html>",
    /.*returned 404 with a web page\. This is not a response of a Worker of this project\. Is --url right\?$/,
  ],
  [
    "another API",
    200,
    "application/json",
    JSON.stringify({ items: ["x".repeat(500)] }),
    /.*returned 200 with JSON that is not an error: \{"items":\["x{49}… This is not a response of a Worker of this project\. Is --url right\?$/,
  ],
  [
    "UAA",
    404,
    "application/json",
    JSON.stringify({ error: "not_found" }),
    /.*returned 404: not_found\. This is not a response of a Worker of this project\. Is --url right\?$/,
  ],
  [
    "a Worker of another version",
    200,
    "application/json",
    JSON.stringify({ entries: 1, configuration: {} }),
    /A Worker of another version responds at http\S+\. .*deploy the version of this command\.$/,
  ],
])(
  "names what responds at --url if it is %s, and prints no dump of it",
  async (_, status, type, body, text) => {
    const url = await startServer((_, response) => {
      response.writeHead(status, { "Content-Type": type }).end(body);
    });
    expect((await doctor({ url })).problems).toEqual([
      problem("FAIL", "worker", new RegExp(`.*${text.source}`)),
      problem("warn", "the rest", /./),
    ]);
    if (text.source.startsWith("A Worker")) return;
    const { code, stdout, stderr } = await resourcePoolInThread(["list", "--url", url], {
      env: { CF_TOKEN: admin },
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/returned \d+.*\n.* Is --url right\?\n$/);
  },
);

test.concurrent("reports a developer's token, skips the route for an auditor's token, and warns of one that expires soon", async () => {
  expect((await doctor({ token: {} })).problems).toEqual([
    problem("FAIL", "scopes", /It has none of cloud_controller\.admin, /),
    problem("FAIL", "worker", /.*returned 403/),
    problem("warn", "the rest", /./),
  ]);
  const auditor = { scopes: ["cloud_controller.read", "cloud_controller.global_auditor"] };
  expect((await doctor({ token: auditor })).problems).toEqual([
    problem(
      "warn",
      "route",
      /It was not checked: requests of a push need a token with cloud_controller\.write/,
    ),
    problem("warn", "size limits", /.*were not compared .*This needs a token with cloud_controller\.write/),
  ]);
  expect((await doctor({ token: { scopes: ADMIN, lifetime: 30 } })).problems).toContainEqual(
    problem("warn", "token", /.*valid for \d+ s more\. Copy the line `export CF_TOKEN/),
  );
});

test.concurrent("reports a route that does not lead the endpoint to the Worker", async () => {
  const url = await startProxy(({ method, url }, response) => {
    if (method !== "POST" || url !== "/v3/resource_matches") return undefined;
    respondWithError(response, 422, NON_INTEGER);
    return true;
  });
  expect((await doctor({ url })).problems).toEqual([
    problem("FAIL", "route", /.*leads to the Cloud Controller, not to the Worker\. .*resource_matches\*/),
    problem("warn", "size limits", /./),
  ]);
});

test.concurrent("does not take a response with Cloudflare's own Server-Timing for one of the Worker", async () => {
  const url = await startProxy(({ method, url }, response) => {
    if (method !== "POST" || url !== "/v3/resource_matches") return undefined;
    const timing = ['cfL4;desc="?proto=TCP&rtt=6131"', "cfEdge;dur=9"];
    response.writeHead(403, { "Server-Timing": timing }).end();
    return true;
  });
  expect((await doctor({ url })).problems).toEqual([
    problem(
      "FAIL",
      "route",
      /.*returned 403\. The token was accepted before\. .*does the route lead to another server\?/,
    ),
    problem("warn", "size limits", /./),
  ]);
});

test.concurrent("fails a server that accepts a wrong signature, or matches a file that does not exist", async () => {
  const status = await (
    await fetch(`${worker.url}${CACHE_PATH}`, { headers: { Authorization: `bearer ${admin}` } })
  ).text();
  const url = await startProxy(async (request, response) => {
    if (request.url === CACHE_PATH) {
      respond(response, 200, JSON.parse(status));
      return true;
    }
    if (request.method !== "POST") return undefined;
    let body = "";
    for await (const chunk of request) body += chunk;
    respond(response, 201, JSON.parse(body));
    return true;
  });
  expect((await doctor({ url })).problems).toEqual([
    problem("FAIL", "uaa keys", /.*wrong signature got 200, not 401/),
    problem("FAIL", "route", /.*matches a file that does not exist/),
    problem("warn", "size limits", /./),
  ]);
});

test.concurrent("prints the Worker's own checks on one line each, and warns of shadow mode and of a clock that differs", async () => {
  const url = await startProxy(async ({ url, headers: { authorization } }, response) => {
    if (url !== CACHE_PATH || authorization !== `bearer ${admin}`) return undefined;
    const status = (await (
      await fetch(`${worker.url}${CACHE_PATH}`, { headers: { Authorization: authorization } })
    ).json()) as CacheStatus;
    const time = new Date(Date.parse(status.time) - 200_000).toISOString();
    const checks = [{ name: "manifest", level: "fail", text: "It is old.\nok    all  is well" }];
    const configuration = { ...status.configuration, MODE: "shadow" };
    respond(response, 200, { ...status, time, checks, configuration });
    return true;
  });
  expect((await doctor({ url })).problems).toEqual([
    problem("warn", "clock", /This machine's clock is 3 min ahead of the Worker's/),
    problem("warn", "route", /MODE is shadow: /),
    problem("warn", "size limits", /./),
    problem("FAIL", "manifest", /It is old\. ok {4}all {2}is well$/),
  ]);
});

test.each([
  [
    "warns of a proxy that removes the trace id",
    "warn",
    undefined,
    /The Worker does not receive X-B3-TraceId/,
  ],
  [
    "fails for a proxy that replaces the trace id",
    "FAIL",
    "f".repeat(32),
    /The Worker receives another X-B3-TraceId/,
  ],
] as const)("%s", async (_, level, traceId, text) => {
  const url = await startProxy(({ headers }) => {
    if (traceId === undefined) delete headers["x-b3-traceid"];
    else headers["x-b3-traceid"] = traceId;
  });
  const { problems } = await doctor({ url });
  expect(problems).toContainEqual(problem(level, "trace id", text));
});

const isMatchRequest = ({ method, url }: IncomingMessage) => `${method} ${url}` === POST;
const SIZE_LIMITS = problem("warn", "size limits", /./);

test("names the loop if CLOUD_CONTROLLER_URL leads back to the Worker, and if a load balancer sends its look-ups back", async () => {
  let looping: Workerd | undefined;
  let route: "to the Worker" | "by path" | "by path and Via" = "to the Worker";
  const balancer = await startProxy(
    () => undefined,
    (request) => {
      const isToWorker = {
        "to the Worker": true,
        "by path": isMatchRequest(request),
        "by path and Via": isMatchRequest(request) && !request.headers.via?.includes("resource-matches"),
      }[route];
      return (isToWorker && looping?.url) || foundation.cloudController.url;
    },
  );
  const variables = { UAA_URL: foundation.uaa.url, CLOUD_CONTROLLER_URL: balancer };
  looping = await startWorkerd({ modules: inject("worker"), variables });
  afterTests(looping.stop);
  const remedy = "Set CLOUD_CONTROLLER_URL to an address .*CF-Worker, or with resource-matches in Via";

  const { problems } = await doctor({ url: looping.url });
  expect(problems).toContainEqual(
    problem("FAIL", "read-through", new RegExp(`.*returned 508: .*This is a loop: .*${remedy}`)),
  );
  expect(problems).toContainEqual(
    problem("FAIL", "other requests", new RegExp(`.*returned 508: .*and cf can't log in\\. ${remedy}`)),
  );

  route = "by path";
  expect((await doctor({ url: looping.url, api: balancer })).problems).toContainEqual(
    problem(
      "FAIL",
      "read-through",
      new RegExp(`.*load balancer sends requests of the Worker to the Worker\\. .*${remedy}`),
    ),
  );

  route = "by path and Via";
  const { lines } = await doctor({ url: looping.url, api: balancer });
  expect(lines).toContainEqual(expect.stringMatching(/^ok +read-through +The Worker looks up/));
});

test.concurrent("names a loop that fails every push in shadow mode", async () => {
  const headers = { Authorization: `bearer ${admin}` };
  const status = (await (await fetch(`${worker.url}${CACHE_PATH}`, { headers })).json()) as CacheStatus;
  const url = await startProxy((request, response) => {
    const configuration = { ...status.configuration, MODE: "shadow" };
    if (request.url === CACHE_PATH && request.headers.authorization === headers.Authorization) {
      respond(response, 200, { ...status, configuration });
      return true;
    }
    if (!isMatchRequest(request)) return undefined;
    respondWithError(response, 508, "Bad request: CLOUD_CONTROLLER_URL leads back to the Worker");
    return true;
  });
  expect((await doctor({ url })).problems).toContainEqual(
    problem("FAIL", "route", /.*returned 508: .*This is a loop: every push fails\./),
  );
});

test("says whether pushes work while a setting of the Worker is wrong", async () => {
  const start = async (variables: Record<string, string>) => {
    const wrong = { UAA_URL: foundation.uaa.url, MINIMUM_SIZE: "64 KiB", ...variables };
    const { url, stop } = await startWorkerd({ modules: inject("worker"), variables: wrong });
    afterTests(stop);
    return url;
  };
  const cause = "returned 500: .*`misconfigured`, and which variable\\. Correct it and deploy\\.";
  const open = await start({ CLOUD_CONTROLLER_URL: foundation.cloudController.url });
  expect(await doctor({ url: open })).toMatchObject({
    code: 3,
    problems: [
      problem(
        "FAIL",
        "worker",
        new RegExp(`.*${cause} The Worker fails open: .*They work, but without the cache`),
      ),
      problem("warn", "the rest", /./),
    ],
  });
  expect((await doctor({ url: await start({}) })).problems).toEqual([
    problem(
      "FAIL",
      "worker",
      new RegExp(`.*${cause} Pushes fail too: .*returned 500: .*delete the Worker's route`),
    ),
    problem("warn", "the rest", /./),
  ]);
});

test.concurrent.each<[string, number, string, number, string, RegExp]>([
  [
    "the operator API alone fails",
    500,
    "UnknownError",
    201,
    '{"resources":[]}',
    /.*The Worker still responds to pushes\. .*`unexpected`: report it\.$/,
  ],
  [
    "UAA's keys were never read",
    503,
    "The UAA service is currently unavailable",
    422,
    NON_INTEGER,
    /.*has never read UAA's keys.* The Worker fails open/,
  ],
  [
    "the Worker can't verify a valid token",
    401,
    '{"errors":[{"detail":"Invalid Auth Token","title":"CF-InvalidAuthToken","code":1000}]}',
    422,
    NON_INTEGER,
    /.*UAA_ISSUER must be .* The Worker fails open/,
  ],
  ["a firewall refuses pushes", 500, "UnknownError", 403, "<html>", /.*Correct it and deploy\.$/],
])("says what pushes get when %s", async (_, status, body, pushStatus, pushBody, text) => {
  const url = await startServer((request, response) => {
    if (isMatchRequest(request)) response.writeHead(pushStatus).end(pushBody);
    else response.writeHead(status).end(body);
  });
  expect((await doctor({ url })).problems).toEqual([
    problem("FAIL", "worker", text),
    problem("warn", "the rest", /./),
  ]);
});

/** Starts a Cloudflare proxy. @param upload responds to the upload of a package, or returns undefined to have it forwarded */
function startCloudflare(
  upload: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<string> {
  return startProxy(
    (request, response) => {
      response.setHeader("Server", "cloudflare").setHeader("CF-RAY", "8f0e5a1b2c3d4e5f-FRA");
      return /^\/v3\/packages\/[0-9a-f-]{36}\/upload$/.test(request.url ?? "")
        ? upload(request, response)
        : undefined;
    },
    (request) =>
      isMatchRequest(request) || request.url === CACHE_PATH ? worker.url : foundation.cloudController.url,
  );
}

test.concurrent("fails if Cloudflare refuses uploads that the foundation accepts", async () => {
  const requests: IncomingMessage["headers"][] = [];
  const url = await startCloudflare((request, response) => {
    requests.push(request.headers);
    if (Number(request.headers["content-length"]) <= 100_000_000) return undefined;
    response.writeHead(413, { "Content-Type": "text/html" }).end("<h1>413 Payload Too Large</h1>");
    return true;
  });
  const { lines, problems } = await doctor({ url: worker.url, api: url });
  expect(problems).toEqual([
    problem(
      "FAIL",
      "upload limit",
      /.*is proxied by Cloudflare, and an upload of 1\.1 GB is refused \(413\)\. .*100 MB on the plans Free and Pro, 200 MB on Business.*--max-package-size/,
    ),
    SIZE_LIMITS,
  ]);
  expect(lines).toContainEqual(expect.stringMatching(/^ok +route /));
  expect(requests).toEqual([expect.objectContaining({ "content-length": "1073741824" })]);
  expect(requests[0]).not.toHaveProperty("authorization");

  const smaller = await doctor({ api: url, maxPackageSize: 90_000_000 });
  expect(smaller.problems).toEqual([SIZE_LIMITS]);
  expect(smaller.lines).toContainEqual(
    expect.stringMatching(/^ok +upload limit +.*an upload of 90\.0 MB reaches the Cloud Controller/),
  );
});

test.concurrent.each<[string, (response: ServerResponse) => unknown]>([
  ["does not respond to a declared upload", () => {}],
  ["closes the connection", (response) => response.destroy()],
  ["shows a page of its own", (response) => response.writeHead(403).end("<h1>Just a moment …</h1>")],
])("warns of Cloudflare's limit for uploads if it %s", async (_, react) => {
  const api = await startCloudflare((_, response) => {
    react(response);
    return true;
  });
  expect((await doctor({ api })).problems).toEqual([
    problem(
      "warn",
      "upload limit",
      /.*is proxied by Cloudflare\. Whether it accepts .*could not be checked\. .*1 GiB/,
    ),
    SIZE_LIMITS,
  ]);
});

test.concurrent("refuses a --max-package-size that is not a number of bytes", async () => {
  const { code, stderr } = await resourcePoolInThread(
    ["doctor", "--url", worker.url, "--max-package-size", "1G"],
    {
      env: { CF_TOKEN: admin },
    },
  );
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("must be a number of bytes") });
});

test.concurrent.each<[string, object, "ok" | "warn", RegExp]>([
  ["3.182.0", { version: "3.182.0" }, "ok", /The Cloud Controller has API 3\.182\.0\. It verifies/],
  ["4.0.0", { version: "4.0.0" }, "ok", /The Cloud Controller has API 4\.0\.0/],
  [
    "3.181.0",
    { version: "3.181.0" },
    "warn",
    /.*has API 3\.181\.0\. Before 3\.182\.0 .*an app with an empty file, and no error message.*Upgrade the foundation first, or set MODE = "shadow"/,
  ],
  ["2.99.0", { version: "2.99.0" }, "warn", /The Cloud Controller has API 2\.99\.0\. Before/],
  ["no version", {}, "warn", /.*does not say its API version\. Before 3\.182\.0/],
])("judges whether a Cloud Controller of API %s verifies files", async (_, meta, level, text) => {
  const cloudController = await startProxy(
    ({ method, url }, response) => {
      if (`${method} ${url}` !== "GET /") return undefined;
      respond(response, 200, { links: { cloud_controller_v3: { href: "/v3", meta } } });
      return true;
    },
    () => foundation.cloudController.url,
  );
  const { lines } = await doctor({ cloudController });
  expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^${level} +api version +${text.source}`)));
});

test("checks the Worker at --url, and the address that cf uses at --api", async () => {
  const posts: string[] = [];
  const balancer = await startProxy(
    (request) => {
      if (isMatchRequest(request)) posts.push(`${request.headers["x-b3-traceid"]}`);
    },
    (request) => (isMatchRequest(request) ? worker.url : foundation.cloudController.url),
  );
  const { cloudController } = foundation;
  const { code, lines, stderr } = await doctor({ api: balancer, cloudController: cloudController.url });
  expect({ code, problems: lines.filter((line) => !line.startsWith("ok ")) }).toEqual({
    code: 0,
    problems: [],
  });
  expect(lines).toContainEqual(
    expect.stringContaining(`${balancer}/v3/resource_matches leads to the Worker.`),
  );
  expect(lines).toContainEqual(expect.stringContaining("The endpoint matches 3 of 3 files"));
  expect(lines).toContainEqual(expect.stringContaining(`${balancer}/ leads to a Cloud Controller.`));
  expect(stderr).toBe(
    `Checking ${worker.url} …\nChecking ${balancer} …\nChecking ${cloudController.url} …\n`,
  );
  expect(posts).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);

  // The operator API is not behind the load balancer.
  expect((await doctor({ url: balancer })).problems).toEqual([
    problem("FAIL", "worker", /.*returned 404: .*--url must be the Worker's own URL\./),
    problem("warn", "the rest", /./),
  ]);
});

test("compares the limits with the Cloud Controller behind the load balancer at --api", async () => {
  const fromWorker: (string | undefined)[] = [];
  const balancer = await startProxy(
    () => undefined,
    (request) => {
      const isFromWorker = request.headers.via?.includes("resource-matches") ?? false;
      if (isFromWorker) fromWorker.push(`${request.method} ${request.url}`);
      return isMatchRequest(request) && !isFromWorker ? worker.url : foundation.cloudController.url;
    },
  );
  const { code, lines, stderr, problems } = await doctor({ api: balancer });
  expect({ code, problems }).toEqual({ code: 0, problems: [] });
  for (const name of ["route", "cloud controller", "minimum size", "maximum size", "file modes"]) {
    expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^ok +${name} `)));
  }
  expect(fromWorker.length).toBeGreaterThan(5);
  expect(stderr).toBe(`Checking ${worker.url} …\nChecking ${balancer} …\n`);
});

test("warns that limits were not compared if --api leads the Worker's own requests to the Worker", async () => {
  const api = await startProxy(
    () => undefined,
    (request) => (isMatchRequest(request) ? worker.url : foundation.cloudController.url),
  );
  expect((await doctor({ api })).problems).toEqual([
    problem(
      "warn",
      "size limits",
      /Sizes and file modes were not compared .*http:\S+ leads to a Worker, .*Set --cloud-controller to .* Via, to the Cloud Controller\.$/,
    ),
  ]);
});

test.concurrent("reports a load balancer that sends pushes to the Cloud Controller", async () => {
  const api = await startProxy(
    () => undefined,
    () => foundation.cloudController.url,
  );
  expect((await doctor({ api })).problems).toEqual([
    problem(
      "FAIL",
      "route",
      /.*leads to the Cloud Controller, and not to the Worker\. The Worker responds at .*Configure the load balancer: .*exactly this path, to 127\.0\.0\.1:\d+ with/,
    ),
  ]);
  const url = await startProxy((request, response) => {
    if (!isMatchRequest(request)) return undefined;
    respondWithError(response, 503, "overloaded");
    return true;
  });
  expect((await doctor({ url, api })).problems).toEqual([
    problem(
      "FAIL",
      "route",
      /.*not to the Worker\. The Worker itself returns an error, and the load balancer lets .*returned 503: overloaded .*See the Worker's log\./,
    ),
  ]);
});

test.concurrent("names the load balancer's rule as the cause if a firewall refuses requests at --url", async () => {
  const api = await startProxy(
    () => undefined,
    () => foundation.cloudController.url,
  );
  const url = await startProxy((request, response) => {
    if (!isMatchRequest(request)) return undefined;
    response.writeHead(403, { "Content-Type": "text/html" }).end("<h1>Sorry, you have been blocked</h1>");
    return true;
  });
  const { problems } = await doctor({ url, api });
  expect(problems).toEqual([
    problem(
      "FAIL",
      "route",
      /.*leads to the Cloud Controller\. Whether the Worker responds could not be checked, because a firewall refuses requests at http\S+ \(403\)\. Check that the load balancer forwards POST \/v3\/resource_matches to 127\.0\.0\.1:\d+\.$/,
    ),
  ]);
});

test.concurrent("says that pushes work, and not how, if the Worker fails behind a load balancer", async () => {
  const api = await startProxy(
    () => undefined,
    () => foundation.cloudController.url,
  );
  const url = await startServer((_, response) => respondWithError(response, 500, "UnknownError"));
  expect((await doctor({ url, api })).problems).toEqual([
    problem(
      "FAIL",
      "worker",
      /.*Correct it and deploy\. Pushes work: the Cloud Controller responds to them, because the Worker fails open or the load balancer replaces its errors\. The cache is not used\.$/,
    ),
    problem("warn", "the rest", /./),
  ]);
});
