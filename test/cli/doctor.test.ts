import { type IncomingMessage, type ServerResponse, request as send } from "node:http";
import { beforeAll, expect, inject, test, vi } from "vitest";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { startCloudController } from "../foundation/cloud-controller/cloud-controller.ts";
import { type Foundation, startFoundation } from "../foundation/foundation.ts";
import type { TokenOptions } from "../foundation/uaa/token.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";
import { sha1Of } from "./app.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory, whenAllIsOver } from "./command.ts";
import { serve } from "./endpoint.ts";
import { answer, refuse } from "./fake-cache.ts";

const CACHE = "/v3/resource_matches/cache";
const FILES = ["a", "b", "c"].map((letter, index) => letter.repeat(200_000 + index));
const ADMIN = ["cloud_controller.write", "cloud_controller.admin"];

let foundation: Foundation;
let poolDirectory: string;
let worker: Workerd;
let admin: string;

/** A Worker on the route of a whole API, before a Cloud Controller whose pool the catalog knows. */
beforeAll(async () => {
  poolDirectory = await temporaryDirectory();
  foundation = await startFoundation({ poolDirectory });
  whenAllIsOver(() => foundation.close());
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
  whenAllIsOver(() => worker.stop());
  admin = await uaa.issueToken({ scopes: ADMIN });
  const present = FILES.map((text) => ({ checksum: { value: sha1Of(text) }, size_in_bytes: text.length }));
  const headers = { Authorization: `bearer ${admin}` };
  const observed = { method: "POST", headers, body: JSON.stringify({ present }) };
  expect((await fetch(`${worker.url}${CACHE}/observations`, observed)).status).toBe(200);
  const isPublished = async () => {
    const { published, snapshot } = (await (
      await fetch(`${worker.url}${CACHE}`, { headers })
    ).json()) as CacheStatus;
    expect(published && snapshot).not.toBeNull();
  };
  await vi.waitFor(isPublished, { timeout: 30_000, interval: 200 });
}, 90_000);

interface Asked {
  token?: string | TokenOptions;
  /** The Worker's own address by default. */
  url?: string;
  cloudController?: string;
  run?: typeof resourcePool;
}

/** What the command finds: its lines, and those of them that are not ok. */
async function doctor({
  token = admin,
  url = worker.url,
  cloudController,
  run = resourcePoolInThread,
}: Asked) {
  const CF_TOKEN = typeof token === "string" ? token : await foundation.uaa.issueToken(token);
  const origin = cloudController === undefined ? [] : ["--cloud-controller", cloudController];
  const { code, stdout, stderr } = await run(["doctor", "--url", url, ...origin], { env: { CF_TOKEN } });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return { code, stderr, lines, troubles: lines.filter((line) => !line.startsWith("ok ")) };
}

const trouble = (level: "warn" | "FAIL", name: string, text: RegExp) =>
  expect.stringMatching(new RegExp(`^${level} +${name} +${text.source}`));

/** Something before the Worker that answers in its place where `answers` does, and hands on everything else. */
function before(answers: (request: IncomingMessage, response: ServerResponse) => unknown): Promise<string> {
  return serve(async (request, response) => {
    if ((await answers(request, response)) !== undefined) return;
    const { method, headers, url = "" } = request;
    const forwarded = send(`${worker.url}${url}`, { method: method ?? "GET", headers }, (answered) => {
      response.writeHead(answered.statusCode ?? 500, answered.headers);
      answered.pipe(response);
    });
    request.pipe(forwarded);
  });
}

test("of a Worker that is well, before a foundation that is, every line is ok", async () => {
  const { cloudController } = foundation;
  const { code, lines, stderr } = await doctor({ cloudController: cloudController.url, run: resourcePool });
  expect(lines.map((line) => line.replace(/ {2,}/g, ": "))).toEqual([
    expect.stringMatching(/^ok: token: developer's, of http:\S+, valid for 9 min more\.$/),
    "ok: scopes: cloud_controller.admin: it may change the cache.",
    expect.stringMatching(/^ok: worker: Version \d+\.\d+\.\d+ answers at /),
    expect.stringMatching(/^ok: clock: /),
    "ok: uaa keys: They verify this token, and refuse it with a made-up signature.",
    `ok: route: ${worker.url}/v3/resource_matches is answered by the Worker.`,
    "ok: trace id: The Worker receives the X-B3-TraceId of a request, by which it knows a push of cf CLI.",
    "ok: read-through: The Worker asks the Cloud Controller for what it does not know.",
    "ok: edge: Of 3 files that the catalog holds, the endpoint matches 3.",
    `ok: other requests: ${worker.url}/ is answered by a Cloud Controller.`,
    `ok: cloud controller: It answers at ${cloudController.url}.`,
    "ok: minimum size: The Cloud Controller's limit is 65536 bytes too, as far as can be asked.",
    "ok: maximum size: The Cloud Controller's limit is 536870912 bytes too, as far as can be asked.",
    "ok: file modes: The Cloud Controller wants 0600, and MINIMUM_FILE_MODE is 0600.",
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
  expect(stderr).toBe(`Asking ${worker.url} …\nAsking ${cloudController.url} …\n`);
  expect(code).toBe(0);
});

test("other limits of the Cloud Controller are told to the byte, as what to set", async () => {
  const other = async (minimumSize: number, maximumSize: number) => {
    const limits = { minimumSize, maximumSize };
    const { close, url } = await startCloudController({ uaa: foundation.uaa, poolDirectory, limits });
    whenAllIsOver(close);
    return doctor({ cloudController: url });
  };
  expect(await other(123_456, 234_567)).toMatchObject({
    code: 3,
    troubles: [
      trouble("FAIL", "minimum size", /.*larger than 123456 bytes: set MINIMUM_SIZE = "123456"\./),
      trouble("FAIL", "maximum size", /.*smaller than 234567 bytes: set MAXIMUM_SIZE = "234567"\./),
    ],
  });
  expect(await other(1_000, 2 ** 40)).toMatchObject({
    code: 3,
    troubles: [
      trouble("warn", "minimum size", /.*from 1001 bytes on, .*: set MINIMUM_SIZE = "1000"\./),
      trouble(
        "warn",
        "maximum size",
        /.*up to 1099511627775 bytes, .*: set MAXIMUM_SIZE = "1099511627776"\./,
      ),
    ],
  });
});

test("without --cloud-controller it says what it could not compare", async () => {
  expect(await doctor({})).toMatchObject({
    code: 3,
    troubles: [
      trouble("warn", "size limits", /They and the file modes were not compared .*--cloud-controller <url>/),
    ],
  });
});

/** One after the other: they share the Cloud Controller's faults. */
test("a Cloud Controller that is unwell, or set up otherwise, is told of", async () => {
  const { faults, url } = foundation.cloudController;
  faults.set({
    "GET /v3/feature_flags": {
      status: 200,
      body: { resources: [{ name: "resource_matching", enabled: false }] },
    },
    "POST /v3/resource_matches": { status: 500 },
  });
  expect((await doctor({ cloudController: url })).troubles).toEqual([
    trouble("FAIL", "read-through", /.*`lookup-incomplete` in the log tells why/),
    trouble("FAIL", "size limits", /.*answered 500/),
    trouble("FAIL", "feature flags", /resource_matching is off: set FEATURE_RESOURCE_MATCHING = "false"\./),
    trouble("warn", "feature flags", /.*does not tell of app_bits_upload/),
  ]);
  faults.set({ "GET /": { status: 502, body: "<h1>Bad gateway</h1>" } });
  expect((await doctor({})).troubles).toEqual([
    trouble(
      "FAIL",
      "other requests",
      /.*answered 502: .* cf can't log in meanwhile\. Try again .*the Cloud Controller's log/,
    ),
    trouble("warn", "size limits", /./),
  ]);
  const refused = { errors: [{ detail: "Invalid Auth Token", title: "CF-InvalidAuthToken", code: 1000 }] };
  faults.set({ "POST /v3/resource_matches": { status: 401, body: refused } });
  expect((await doctor({})).troubles).toEqual([
    trouble("FAIL", "route", /.*answered 401: .*the Cloud Controller that it asks has not/),
    trouble("warn", "size limits", /./),
  ]);
  faults.set({});
});

/** In place of the Worker's, or of the Cloud Controller's behind it. */
const POST = "POST /v3/resource_matches";
const REACHED = "The Cloud Controller is currently unavailable";
test.concurrent.each<[string, number, string, "warn" | "FAIL", string, RegExp]>([
  [
    `GET ${CACHE}`,
    502,
    "",
    "FAIL",
    "worker",
    /.*answered 502\. Try again in a minute; .*the Worker's log tells why/,
  ],
  [
    `GET ${CACHE}`,
    429,
    "",
    "FAIL",
    "worker",
    /.*answered 429\. It was asked too often: try again in a minute/,
  ],
  [`GET ${CACHE}`, 500, "<h1>1101</h1>", "FAIL", "worker", /.*1101<\/h1>\. Try again in a minute/],
  ["made-up", 503, "", "warn", "uaa keys", /It was not found out .*answered 503\. Try again in a minute/],
  [POST, 503, "", "FAIL", "route", /.*answered 503\. Try again in a minute; .*the Worker's log/],
  [POST, 429, "", "FAIL", "route", /.*answered 429\. It was asked too often/],
  [
    POST,
    403,
    "",
    "FAIL",
    "route",
    /.*answered 403\. For the status it was taken: .*does somebody else answer there\?/,
  ],
  [POST, 404, "", "FAIL", "route", /.*answered 404\. The Worker does not answer so: who answers there\?/],
  [
    "GET /",
    503,
    REACHED,
    "FAIL",
    "other requests",
    /.*The Worker can't reach it, .*is CLOUD_CONTROLLER_URL to be reached/,
  ],
  [
    "GET /",
    429,
    "",
    "FAIL",
    "other requests",
    /.*answered 429\. cf can't log in meanwhile\. It was asked too often/,
  ],
  ["GET /", 403, "", "FAIL", "other requests", /.*answered 403\. .*without a token: is there a firewall/],
  ["GET /", 200, "<h1>Hello</h1>", "FAIL", "other requests", /No Cloud Controller is behind it/],
])(
  "%s answered %i %j: an outage, a refusal and another's answer are told apart",
  async (asked, status, body, level, name, text) => {
    const url = await before(({ method, url, headers: { authorization } }, response) => {
      const isMadeUp = url === CACHE && authorization !== `bearer ${admin}`;
      if (isMadeUp ? asked !== "made-up" : asked !== `${method} ${url}`) return undefined;
      response.writeHead(status).end(body);
      return true;
    });
    const rest =
      name === "worker" ? [trouble("warn", "the rest", /./)] : [trouble("warn", "size limits", /./)];
    expect((await doctor({ url })).troubles).toEqual([trouble(level, name, text), ...rest]);
  },
);

test.concurrent.each<[string, number, RegExp]>([
  [CACHE, 503, /.*answered 503\. Try again in a minute; .*the Cloud Controller's log/],
  [CACHE, 401, /.*answered 401\. .*is --cloud-controller of the same foundation\?/],
  [CACHE, 200, /--cloud-controller must lead to the Cloud Controller and not to the Worker/],
  ["/", 502, /.*answered 502\. Try again in a minute/],
  ["/", 404, /It is none: /],
])("--cloud-controller whose %s answers %i is told for what it is", async (place, status, text) => {
  const cloudController = await serve(({ url }, response) => {
    response.writeHead(url === place ? status : 404).end();
  });
  expect((await doctor({ cloudController })).troubles).toEqual([trouble("FAIL", "cloud controller", text)]);
});

test.concurrent("an address of the Worker is no Cloud Controller's, and one without a Worker is found out", async () => {
  expect((await doctor({ cloudController: worker.url })).troubles).toEqual([
    trouble("FAIL", "cloud controller", /.*must lead to the Cloud Controller and not to the Worker/),
  ]);
  const { url } = foundation.cloudController;
  expect(await doctor({ url })).toMatchObject({
    code: 3,
    troubles: [
      trouble(
        "FAIL",
        "worker",
        /.*answered 404: Unknown request \(CF-NotFound, 10000\)\. There is no Worker: .*does the Worker's route end with a star\?$/,
      ),
      trouble("warn", "the rest", /It was not checked/),
    ],
  });
});

test.concurrent("where nobody answers, it could not run", async () => {
  const { code, lines, stderr } = await doctor({ url: "http://127.0.0.1:9" });
  expect({ code, lines }).toEqual({ code: 1, lines: [] });
  expect(stderr).toMatch(/No answer from|bad port|ECONNREFUSED/);
});

test.concurrent.each<[string, string | TokenOptions, unknown[]]>([
  ["a refresh token", { scopes: ADMIN, refresh: true }, [trouble("FAIL", "token", /It is a refresh token/)]],
  [
    "an expired one",
    { scopes: ADMIN, lifetime: -300 },
    [trouble("FAIL", "token", /It has expired 5 min ago: export CF_TOKEN/)],
  ],
  ["no JWT", "opaque", [trouble("FAIL", "token", /It is no JWT/)]],
  ["another UAA's", { scopes: ADMIN, issuer: "https://uaa.elsewhere.example.com/oauth/token" }, []],
  ["another audience's", { scopes: ADMIN, audience: ["somebody"] }, []],
])("%s is told for what it is, and that the Worker refuses it", async (_, token, troubles) => {
  const outcome = await doctor({ token });
  // What a token says of its issuer is advice only where the token itself is none of the trouble.
  const advice = troubles.length > 0 ? "$" : " If it is not that: UAA_ISSUER must be .*";
  const refused =
    '.*answered 401: Invalid Auth Token \\(CF-InvalidAuthToken, 1000\\)\\. A token is valid .*oauth-token\\)"\\.';
  expect(outcome.troubles).toEqual([
    ...troubles,
    trouble("FAIL", "worker", new RegExp(refused + advice)),
    trouble("warn", "the rest", /./),
  ]);
  expect(outcome.code).toBe(3);
});

test.concurrent("a developer's token is not enough, an auditor's is for all but the endpoint, a short one is told", async () => {
  expect((await doctor({ token: {} })).troubles).toEqual([
    trouble("FAIL", "scopes", /None of cloud_controller\.admin, /),
    trouble("FAIL", "worker", /.*answered 403/),
    trouble("warn", "the rest", /./),
  ]);
  const auditor = { scopes: ["cloud_controller.read", "cloud_controller.global_auditor"] };
  expect((await doctor({ token: auditor })).troubles).toEqual([
    trouble("warn", "route", /It was not checked: only a token with cloud_controller\.write/),
    trouble("warn", "size limits", /./),
  ]);
  expect((await doctor({ token: { scopes: ADMIN, lifetime: 30 } })).troubles).toContainEqual(
    trouble("warn", "token", /.*valid for \d+ s more: export CF_TOKEN/),
  );
});

test.concurrent("an endpoint that the route does not lead to the Worker is found out", async () => {
  // A Cloud Controller's answer to a size that is no whole number.
  const url = await before(({ method, url }, response) => {
    if (method !== "POST" || url !== "/v3/resource_matches") return undefined;
    const detail = "Resources array contains at least one resource with a non-integer size_in_bytes";
    refuse(response, 422, detail);
    return true;
  });
  expect((await doctor({ url })).troubles).toEqual([
    trouble("FAIL", "route", /.*answered by the Cloud Controller, not by the Worker: .*resource_matches\*/),
    trouble("warn", "size limits", /./),
  ]);
});

test.concurrent("the times that Cloudflare adds to an answer do not make it the Worker's", async () => {
  const url = await before(({ method, url }, response) => {
    if (method !== "POST" || url !== "/v3/resource_matches") return undefined;
    const timing = ['cfL4;desc="?proto=TCP&rtt=6131"', "cfEdge;dur=9"];
    response.writeHead(403, { "Server-Timing": timing }).end();
    return true;
  });
  expect((await doctor({ url })).troubles).toEqual([
    trouble(
      "FAIL",
      "route",
      /.*answered 403\. For the status it was taken: .*does somebody else answer there\?/,
    ),
    trouble("warn", "size limits", /./),
  ]);
});

test.concurrent("whoever takes a made-up signature, or claims what nobody has, is not trusted", async () => {
  const status = await (
    await fetch(`${worker.url}${CACHE}`, { headers: { Authorization: `bearer ${admin}` } })
  ).text();
  const url = await before(async (request, response) => {
    if (request.url === CACHE) {
      answer(response, 200, JSON.parse(status));
      return true;
    }
    if (request.method !== "POST") return undefined;
    let body = "";
    for await (const chunk of request) body += chunk;
    answer(response, 201, JSON.parse(body));
    return true;
  });
  expect((await doctor({ url })).troubles).toEqual([
    trouble("FAIL", "uaa keys", /.*made-up signature is answered 200, not 401/),
    trouble("FAIL", "route", /.*claims a file that nobody has/),
    trouble("warn", "size limits", /./),
  ]);
});

test.concurrent("the Worker's own judgement, mode and clock are passed on", async () => {
  const url = await before(async ({ url, headers: { authorization } }, response) => {
    if (url !== CACHE || authorization !== `bearer ${admin}`) return undefined;
    const status = (await (
      await fetch(`${worker.url}${CACHE}`, { headers: { Authorization: authorization } })
    ).json()) as CacheStatus;
    const time = new Date(Date.parse(status.time) - 200_000).toISOString();
    const checks = [{ name: "manifest", level: "fail", text: "It is old.\nok    all  is well" }];
    const configuration = { ...status.configuration, MODE: "shadow" };
    answer(response, 200, { ...status, time, checks, configuration });
    return true;
  });
  expect((await doctor({ url })).troubles).toEqual([
    trouble("warn", "clock", /This machine's is 3 min ahead of the Worker's/),
    trouble("warn", "route", /MODE is shadow: /),
    trouble("warn", "size limits", /./),
    trouble("FAIL", "manifest", /It is old\. ok {4}all {2}is well$/),
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
  const url = await before(({ headers }) => {
    if (traceId === undefined) delete headers["x-b3-traceid"];
    else headers["x-b3-traceid"] = traceId;
  });
  const { troubles } = await doctor({ url });
  expect(troubles).toContainEqual(trouble(level, "trace id", text));
});
