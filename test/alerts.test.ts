import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import document from "../docs/alerts/grafana.yaml?raw";
import { TIMEOUT_MS } from "../src/time/time-guarantees.ts";
import { createDataset, queryPoints } from "./support/analytics-engine.ts";
import { catalog, report, runAlarm, setVariables } from "./support/catalog.ts";
import { advanceClock } from "./support/clock.ts";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "./support/origin.ts";
import { keyOf, resource, sendWith } from "./support/worker.ts";

interface Rule {
  title: string;
  condition: string;
  for: string;
  noDataState: "OK" | "Alerting";
  data: [
    { model: { query: string } },
    { model: { type: "reduce"; expression: "A"; reducer: "last" } },
    { model: { type: "threshold"; expression: "B"; conditions: [{ evaluator: Evaluator }] } },
  ];
}
interface Evaluator {
  type: "gt";
  params: [number];
}

const RULES: Rule[] = parse(document).groups[0].rules;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const FOUNDATION = "uaa.example.com";
const BODY = { resources: Array.from({ length: 40 }, (_, index) => resource(index)) };
const KEYS = BODY.resources.map((_, index) => keyOf(index));

let { points, METRICS } = createDataset();
const timeouts = { ...TIMEOUT_MS };
/** The Cloud Controller's response. */
let respond = respondWithMatches(() => true);
let isUaaDown = false;

/** Evaluates a rule as Grafana does: last value of each foundation, compared with the threshold. */
async function isFiring({ data, noDataState }: Rule): Promise<boolean> {
  const [{ model: query }, , { model: threshold }] = data;
  const rows = await queryPoints(query.query, points);
  if (rows.length === 0) return noDataState === "Alerting";
  const [{ evaluator }] = threshold.conditions;
  // Grafana takes `t` as the time, texts as labels, and the only number as the value.
  for (const row of rows) expect(Object.keys(row)).toEqual(["t", "foundation", "value"]);
  return rows.some(({ value }) => Number(value) > evaluator.params[0]);
}

async function firingRules(): Promise<string[]> {
  const firing = await Promise.all(RULES.map(async (rule) => ((await isFiring(rule)) ? [rule.title] : [])));
  return firing.flat();
}

/** As many as it takes for an alert. */
async function pushThrice(...args: Parameters<typeof push>): Promise<number[]> {
  const statuses: number[] = [];
  while (statuses.length < 3) statuses.push((await push(...args)).status);
  return statuses;
}

const push = (bindings: object = {}, options: { token?: string } = {}) =>
  sendWith({ CLOUD_CONTROLLER_URL, METRICS, ...bindings }, BODY, options);

async function runAlarmAfter(ms: number): Promise<void> {
  advanceClock(ms);
  await runAlarm();
}

/** KV that refuses writes. */
const readOnlyCache = {
  get: env.RESOURCE_CACHE.get.bind(env.RESOURCE_CACHE),
  put: () => Promise.reject(new Error("KV PUT failed: 429 Too Many Requests")),
  delete: async () => {},
};

beforeEach(async () => {
  collectLogs();
  ({ points, METRICS } = createDataset());
  respond = respondWithMatches(() => true);
  isUaaDown = false;
  fakeCloudController(
    (request) => respond(request),
    () => isUaaDown,
  );
  await setVariables({ METRICS });
  await report({ present: KEYS, asOf: Date.now() - 1_000 });
  // The second run publishes the snapshot that the first one has built.
  for (let run = 0; run < 2; run++) await runAlarmAfter(20_000);
});
afterEach(async () => {
  Object.assign(TIMEOUT_MS, timeouts);
  vi.restoreAllMocks();
  await reset();
});

describe("no alert fires", () => {
  it("fires no alert while pushes match and the catalog publishes", async () => {
    expect((await push()).status).toBe(201);
    for (let hour = 0; hour < 3; hour++) await runAlarmAfter(HOUR_MS);
    await report({ removed: [resource(1).checksum.value] });
    await runAlarmAfter(20_000);
    expect((await push()).status).toBe(201);
    expect(await firingRules()).toEqual([]);
  });

  it("fires no alert in a night without pushes, in which the catalog only renews its manifest", async () => {
    for (let hour = 0; hour < 10; hour++) {
      await runAlarmAfter(HOUR_MS);
      expect(await firingRules()).toEqual([]);
    }
  });

  it("fires no alert for refusals that the client causes, even if the Cloud Controller sends them", async () => {
    await push({}, { token: "garbage" });
    await sendWith({ METRICS }, "{");
    // Neither the Worker nor the Cloud Controller accepts the token.
    respond = () => Response.json({ errors: [] }, { status: 401 });
    isUaaDown = true;
    expect((await push()).status).toBe(401);
    expect(points.map(({ blobs }) => blobs[1])).toContain("failed-open");
    expect(await firingRules()).toEqual([]);
  });
});

describe("an alert fires", () => {
  it("fires for a suspended cache together with stale matches, until the cache is resumed", async () => {
    respond = respondWithMatches(() => false);
    await push();
    expect((await catalog().status()).suspended_until).not.toBe(null);
    expect(await firingRules()).toEqual(["The cache is suspended", "Stale matches"]);
    await runAlarmAfter(20_000);
    await runAlarmAfter(11 * MINUTE_MS);
    expect(await firingRules()).toEqual(["Stale matches"]);
    await runAlarmAfter(HOUR_MS);
    expect(await firingRules()).toEqual([]);
  });

  it("fires for a stale match in an answer that suspends nothing", async () => {
    respond = respondWithMatches(({ size_in_bytes }) => size_in_bytes > 1);
    const body = { resources: BODY.resources.slice(0, 5) };
    await sendWith({ CLOUD_CONTROLLER_URL, METRICS }, body);
    expect(await firingRules()).toEqual(["Stale matches"]);
  });

  it("fires for a stale match in shadow mode", async () => {
    respond = respondWithMatches(({ size_in_bytes }) => size_in_bytes > 1);
    const body = { resources: BODY.resources.slice(0, 9) };
    await sendWith({ CLOUD_CONTROLLER_URL, METRICS, MODE: "shadow" }, body);
    expect(await firingRules()).toEqual(["Stale matches"]);
  });

  it.each([
    ["UAA is down", true, {}],
    ["a variable is wrong", false, { MINIMUM_SIZE: "10MB" }],
  ])("fires for a Worker that fails open because %s, for 15 minutes", async (_, isDown, bindings) => {
    isUaaDown = isDown;
    expect((await push(bindings)).status).toBe(201);
    expect(await firingRules()).toEqual(["The Worker fails open"]);
    advanceClock(16 * MINUTE_MS);
    expect(await firingRules()).toEqual([]);
  });

  it("fires without the foundation's name for a Worker that fails open because UAA_URL is wrong", async () => {
    expect((await push({ UAA_URL: "uaa.example.com" })).status).toBe(201);
    expect(await firingRules()).toEqual(["The Worker fails open"]);
  });

  it.each([
    ["UAA is down", true, {}],
    ["a variable is wrong", false, { MINIMUM_SIZE: "10MB" }],
  ])("fires for a 5xx without a Cloud Controller because %s", async (_, isDown, bindings) => {
    isUaaDown = isDown;
    const statuses = await pushThrice({ ...bindings, CLOUD_CONTROLLER_URL: undefined });
    for (const status of statuses) expect(status).toBeGreaterThanOrEqual(500);
    expect(await firingRules()).toEqual(["Responses with 5xx"]);
  });

  it("counts only requests of the endpoint while a variable is wrong", async () => {
    respond = () => Response.json({});
    const bindings = { CLOUD_CONTROLLER_URL, METRICS, MINIMUM_SIZE: "10MB" };
    const url = "https://api.example.com/v3/apps";
    expect((await sendWith(bindings, undefined, { url, method: "GET" })).status).toBe(200);
    expect(await firingRules()).toEqual([]);
  });

  it("fires for a 5xx of the Cloud Controller in shadow mode", async () => {
    respond = () => new Response("bad gateway", { status: 502 });
    expect(await pushThrice({ MODE: "shadow" })).toEqual([502, 502, 502]);
    expect(await firingRules()).toEqual(["Responses with 5xx"]);
  });

  it("fires for a 5xx of the Cloud Controller to which the Worker fails open", async () => {
    respond = () => new Response("bad gateway", { status: 502 });
    isUaaDown = true;
    expect((await push()).status).toBe(502);
    expect(await firingRules()).toEqual(["The Worker fails open"]);
    await pushThrice();
    expect(await firingRules()).toEqual(["The Worker fails open", "Responses with 5xx"]);
  });

  it("fires for a manifest that is more than two hours old, because KV refuses it", async () => {
    await setVariables({ RESOURCE_CACHE: readOnlyCache });
    await runAlarmAfter(119 * MINUTE_MS);
    expect(await firingRules()).toEqual([]);
    await runAlarmAfter(2 * MINUTE_MS);
    expect(await firingRules()).toEqual(["The manifest is old"]);
    await setVariables({ RESOURCE_CACHE: env.RESOURCE_CACHE });
    await runAlarmAfter(MINUTE_MS);
    expect(await firingRules()).toEqual([]);
  });

  it("fires for the manifest if the catalog writes no data points any more, also after a week", async () => {
    advanceClock(121 * MINUTE_MS);
    expect(await firingRules()).toEqual(["The manifest is old"]);
    advanceClock(8 * 24 * HOUR_MS);
    expect(await firingRules()).toEqual(["The manifest is old"]);
  });

  it("fires for the manifest although the catalog of a former jurisdiction still publishes", async () => {
    await setVariables({ DATA_JURISDICTION: "eu" });
    await runAlarmAfter(2 * HOUR_MS + MINUTE_MS);
    expect(await firingRules()).toEqual(["The manifest is old"]);
  });

  it("fires for the manifest if requests arrive and the catalog has never published", async () => {
    points.length = 0;
    await push();
    expect(await firingRules()).toEqual(["The manifest is old"]);
  });

  it.each([
    ["fires for an unreachable push session of a request of 5,000 resources", 5_000, 1],
    ["fires no alert for an unreachable push session of a smaller request, which can't lose a file", 40, 0],
  ])("%s", async (_, count, mayLoseFile) => {
    TIMEOUT_MS.pushSessions = 50;
    const call = () => Promise.reject(new Error("overloaded"));
    const PUSH_SESSIONS = { getByName: () => ({ inspect: call, decide: call }) };
    const resources = Array.from({ length: count }, (_, index) => resource(index));
    await sendWith({ CLOUD_CONTROLLER_URL, METRICS, PUSH_SESSIONS }, { resources });
    const unreachable = points.filter(({ index }) => index === "push-sessions-unreachable");
    expect(unreachable.map(({ blobs, doubles }) => [blobs, doubles])).toEqual([
      [[FOUNDATION], [mayLoseFile]],
    ]);
    expect(await firingRules()).toEqual(mayLoseFile === 1 ? ["Push sessions are unreachable"] : []);
  });

  it("fires for a change that is not published for ten minutes, until it is", async () => {
    await setVariables({ RESOURCE_CACHE: readOnlyCache });
    await report({ removed: [resource(1).checksum.value] });
    await runAlarmAfter(20_000);
    advanceClock(9 * MINUTE_MS);
    expect(await firingRules()).toEqual([]);
    // The age of the change grows even if no further data point is written.
    advanceClock(MINUTE_MS);
    expect(await firingRules()).toEqual(["Publishing is behind"]);
    await setVariables({ RESOURCE_CACHE: env.RESOURCE_CACHE });
    await runAlarmAfter(0);
    expect(await firingRules()).toEqual([]);
  });
});
