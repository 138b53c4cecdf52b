import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TIMEOUT_MS } from "../src/time/time-guarantees.ts";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "./support/origin.ts";
import { ENDPOINT, resource, send, sendWith } from "./support/worker.ts";

const BODY = { resources: [resource(1)] };

afterEach(() => vi.restoreAllMocks());

describe("the query of a request is nobody's", () => {
  it("and nobody reads it, for that takes time which grows with its square", async () => {
    const read = vi.spyOn(URL.prototype, "searchParams", "get");
    const url = `${ENDPOINT}?${"a=1&".repeat(15_000)}`;
    expect((await send(BODY, { url })).status).toBe(201);
    expect((await send(BODY, { url, token: null })).status).toBe(401);
    for (const { value } of read.mock.results) expect([...value]).toEqual([]);
  });
});

describe("only the endpoint's own path is the endpoint", () => {
  it.each(["/", "//", "/.", "%2f", "/x", ";a=1"])("not with %s behind it: 404", async (end) => {
    expect((await send(BODY, { url: `${ENDPOINT}${end === "/." ? "/./" : end}` })).status).toBe(404);
  });

  it.each(["/", "/resources/", "/observations/", "/publication/"])(
    "nor the operator's with %s",
    async (end) => {
      expect((await send(undefined, { method: "GET", url: `${ENDPOINT}/cache${end}` })).status).toBe(404);
    },
  );

  it("the operator's way in stays the Worker's alone, where all else is the Cloud Controller's", async () => {
    const requests = fakeCloudController(() => new Response("ok"));
    for (const end of ["/cache/", "/cache/resources/", "/cache/x", "/cache//observations"]) {
      const response = await sendWith({ CLOUD_CONTROLLER_URL }, undefined, { url: ENDPOINT + end });
      expect(response.status).toBe(404);
    }
    expect(requests).toEqual([]);
  });
});

describe("what lies outside and does not answer keeps no push waiting", () => {
  const never = () => new Promise<never>(() => {});
  const patience = { ...TIMEOUT_MS };
  beforeEach(() => {
    for (const name of Object.keys(TIMEOUT_MS) as (keyof typeof TIMEOUT_MS)[]) TIMEOUT_MS[name] = 100;
  });
  afterEach(() => Object.assign(TIMEOUT_MS, patience));

  it("a rate limiter", async () => {
    const logs = collectLogs();
    const response = await sendWith({ RATE_LIMITER: { limit: never } }, BODY);
    expect(response.status).toBe(201);
    expect(logs).toContainEqual(expect.objectContaining({ event: "rate-limiter-unavailable" }));
  });

  it("the catalog, when it is told of what the Cloud Controller has matched", async () => {
    const logs = collectLogs();
    fakeCloudController(respondWithMatches(() => true));
    const hanging = { getByName: () => ({ observe: never, deny: never }) };
    const response = await sendWith({ CLOUD_CONTROLLER_URL, CATALOG: hanging }, BODY);
    expect(response.status).toBe(201);
    // The work behind the answer has come to its end as well.
    expect(logs).toContainEqual(expect.objectContaining({ event: "report-failed" }));
  });

  it("METRICS", async () => {
    const response = await sendWith({ METRICS: { writeDataPoint: never } }, BODY);
    expect(response.status).toBe(201);
  });

  it("UAA, when it is asked for its keys", async () => {
    collectLogs();
    vi.spyOn(globalThis, "fetch").mockImplementation(never);
    const response = await sendWith({ ...env }, BODY);
    expect(response.status).toBe(503);
  });
});

describe("nothing on its way to the Cloud Controller is kept on the way", () => {
  it("neither what is passed through, nor questions", async () => {
    const requests = fakeCloudController(() => Response.json({ resources: [] }, { status: 201 }));
    await sendWith({ CLOUD_CONTROLLER_URL }, undefined, {
      method: "GET",
      url: "https://api.example.com/v3/apps",
    });
    await sendWith({ CLOUD_CONTROLLER_URL }, BODY);
    expect(requests.map(({ cache }) => cache)).toEqual(["no-store", "no-store"]);
  });
});
