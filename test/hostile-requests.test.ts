import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TIMEOUT_MS } from "../src/time/time-guarantees.ts";
import { collectLogs } from "./support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "./support/origin.ts";
import { ENDPOINT, resource, send, sendWith } from "./support/worker.ts";

const BODY = { resources: [resource(1)] };

afterEach(() => vi.restoreAllMocks());

describe("a query", () => {
  it("never parses the query, because that takes quadratic time", async () => {
    const read = vi.spyOn(URL.prototype, "searchParams", "get");
    const url = `${ENDPOINT}?${"a=1&".repeat(15_000)}`;
    expect((await send(BODY, { url })).status).toBe(201);
    expect((await send(BODY, { url, token: null })).status).toBe(401);
    for (const { value } of read.mock.results) expect([...value]).toEqual([]);
  });
});

describe("a path", () => {
  it.each(["/", "//", "/.", "%2f", "/x", ";a=1"])(
    "returns 404 for the endpoint followed by %s",
    async (end) => {
      expect((await send(BODY, { url: `${ENDPOINT}${end === "/." ? "/./" : end}` })).status).toBe(404);
    },
  );

  it.each(["/", "/resources/", "/observations/", "/publication/"])(
    "returns 404 for the operator API followed by %s",
    async (end) => {
      expect((await send(undefined, { method: "GET", url: `${ENDPOINT}/cache${end}` })).status).toBe(404);
    },
  );

  it("never passes requests below the operator API to the Cloud Controller", async () => {
    const requests = fakeCloudController(() => new Response("ok"));
    for (const end of ["/cache/", "/cache/resources/", "/cache/x", "/cache//observations"]) {
      const response = await sendWith({ CLOUD_CONTROLLER_URL }, undefined, { url: ENDPOINT + end });
      expect(response.status).toBe(404);
    }
    expect(requests).toEqual([]);
  });
});

describe("a call that hangs", () => {
  const never = () => new Promise<never>(() => {});
  const timeouts = { ...TIMEOUT_MS };
  beforeEach(() => {
    for (const name of Object.keys(TIMEOUT_MS) as (keyof typeof TIMEOUT_MS)[]) TIMEOUT_MS[name] = 100;
  });
  afterEach(() => Object.assign(TIMEOUT_MS, timeouts));

  it("responds to a push while the rate limiter hangs (R2.2)", async () => {
    const logs = collectLogs();
    const response = await sendWith({ RATE_LIMITER: { limit: never } }, BODY);
    expect(response.status).toBe(201);
    expect(logs).toContainEqual(expect.objectContaining({ event: "rate-limiter-unavailable" }));
  });

  it("responds to a push while the catalog hangs (R2.2)", async () => {
    const logs = collectLogs();
    fakeCloudController(respondWithMatches(() => true));
    const hanging = { getByName: () => ({ observe: never, reportRejections: never }) };
    const response = await sendWith({ CLOUD_CONTROLLER_URL, CATALOG: hanging }, BODY);
    expect(response.status).toBe(201);
    // The work after the response has ended too.
    expect(logs).toContainEqual(expect.objectContaining({ event: "report-failed" }));
  });

  it("responds to a push while METRICS hangs (R2.3)", async () => {
    const response = await sendWith({ METRICS: { writeDataPoint: never } }, BODY);
    expect(response.status).toBe(201);
  });

  it("returns 503 while UAA hangs (R2.2)", async () => {
    collectLogs();
    vi.spyOn(globalThis, "fetch").mockImplementation(never);
    const response = await sendWith({ ...env }, BODY);
    expect(response.status).toBe(503);
  });
});

describe("a request to the Cloud Controller", () => {
  it("never caches a request to the Cloud Controller", async () => {
    const requests = fakeCloudController(() => Response.json({ resources: [] }, { status: 201 }));
    await sendWith({ CLOUD_CONTROLLER_URL }, undefined, {
      method: "GET",
      url: "https://api.example.com/v3/apps",
    });
    await sendWith({ CLOUD_CONTROLLER_URL }, BODY);
    expect(requests.map(({ cache }) => cache)).toEqual(["no-store", "no-store"]);
  });
});
