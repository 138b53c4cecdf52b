import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Catalog } from "../src/catalog/catalog.ts";
import { catalog, report, runAlarm, withVariables } from "./support/catalog.ts";
import { advanceClock } from "./support/clock.ts";
import { collectLogs } from "./support/logs.ts";
import { putManifestIfMissing } from "./support/manifest.ts";
import { signToken } from "./support/tokens.ts";
import { keyOf, matchedPaths, resource, sendWith } from "./support/worker.ts";

/** Records how objects are obtained. The local runtime has no jurisdictions. */
function recordingNamespace(namespace: DurableObjectNamespace, calls: unknown[]) {
  const inJurisdiction = (jurisdiction?: string) => ({
    getByName: (name: string, options?: unknown) => {
      calls.push([jurisdiction, name, options]);
      return namespace.getByName(name);
    },
    jurisdiction: inJurisdiction,
  });
  return inJurisdiction();
}

const STATUS = "https://api.example.com/v3/resource_matches/cache";

async function objectsOf(variables: object) {
  const catalogs: unknown[] = [];
  const sessions: unknown[] = [];
  const bindings = {
    ...variables,
    CATALOG: recordingNamespace(env.CATALOG as never, catalogs),
    PUSH_SESSIONS: recordingNamespace(env.PUSH_SESSIONS as never, sessions),
  };
  const token = await signToken({ user_id: "developer", scope: ["cloud_controller.admin"] });
  await sendWith(bindings, undefined, { method: "GET", url: STATUS, token });
  await sendWith(bindings, { resources: [resource(1)] }, { token });
  return { catalogs, sessions };
}

/** Runs the alarm of the catalog as an object of a jurisdiction, while the Worker has this DATA_JURISDICTION. */
async function runIn(
  jurisdiction: string | undefined,
  DATA_JURISDICTION: string | undefined,
  use: (instance: Catalog) => Promise<unknown>,
): Promise<void> {
  await runInDurableObject(catalog(), async (instance: Catalog, { storage }) => {
    const placed = instance as unknown as { ctx: object };
    const before = placed.ctx;
    placed.ctx = { storage, id: { jurisdiction } };
    await withVariables({ DATA_JURISDICTION }, use).finally(() => {
      placed.ctx = before;
    });
  });
}

afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("DATA_JURISDICTION", () => {
  it("is the jurisdiction of the catalog and of the push sessions", async () => {
    expect(await objectsOf({ DATA_JURISDICTION: "eu" })).toEqual({
      catalogs: [["eu", "catalog", undefined]],
      sessions: [["eu", "developer", undefined]],
    });
    expect(await objectsOf({})).toEqual({
      catalogs: [[undefined, "catalog", undefined]],
      sessions: [[undefined, "developer", undefined]],
    });
  });

  it("is a part of the names in Workers KV, so that each catalog has a manifest of its own (R1.4)", async () => {
    const sessions = recordingNamespace(env.PUSH_SESSIONS as never, []);
    await putManifestIfMissing(env.RESOURCE_CACHE, "a/@eu/");
    await env.RESOURCE_CACHE.put(`a/@eu/${keyOf(1)}`, "1");
    const match = async (variables: object) =>
      matchedPaths(await sendWith({ ...variables, PUSH_SESSIONS: sessions }, { resources: [resource(1)] }));
    expect(await match({ KEY_PREFIX: "a/", DATA_JURISDICTION: "eu" })).toEqual(["src/1.js"]);
    expect(await match({ KEY_PREFIX: "a/", DATA_JURISDICTION: "us" })).toEqual([]);
    expect(await match({ KEY_PREFIX: "a/" })).toEqual([]);

    await runIn("eu", "eu", async (instance) => {
      await instance.observe({ asOf: Date.now(), present: [keyOf(2)], sizes: "verified" });
      await instance.alarm();
    });
    expect(await env.RESOURCE_CACHE.get("@eu/manifest")).not.toBe(null);
    expect(await env.RESOURCE_CACHE.get("manifest")).toBe(null);
  });

  it("leaves the objects unreachable in the local runtime, which has no jurisdictions (R2.1)", async () => {
    const logs = collectLogs();
    const response = await sendWith({ DATA_JURISDICTION: "eu" }, { resources: [resource(1)] });
    expect(response.status).toBe(201);
    expect(logs).toContainEqual(expect.objectContaining({ event: "push-sessions-unreachable" }));
  });

  it("makes the former catalog refuse reports and forget its entries once, when it is changed (R1.3)", async () => {
    await report({ present: [keyOf(1), keyOf(2)] });
    await runAlarm();
    const logs = collectLogs();
    advanceClock(20_000);
    await withVariables({ DATA_JURISDICTION: "eu" }, async (instance) => {
      const observations = { asOf: Date.now(), present: [keyOf(3)], sizes: "verified" } as const;
      await expect(instance.observe(observations)).rejects.toThrow("DATA_JURISDICTION was changed");
      await expect(instance.status()).rejects.toThrow("DATA_JURISDICTION was changed");
      await instance.alarm();
      advanceClock(20_000);
      await instance.alarm();
    });
    expect(logs.filter(({ event }) => event === "catalog-replaced")).toHaveLength(1);
    const manifest = await env.RESOURCE_CACHE.get("manifest", "json");
    expect(manifest).toMatchObject({ state: "current", snapshot: null, delta: { added: 0, removed: 2 } });
    // The setting is changed back.
    expect(await catalog().status()).toMatchObject({ entries: 0 });
    expect(await report({ present: [keyOf(1)], asOf: Date.now() - 60_000 })).toMatchObject({ changed: 0 });
  });
});

describe("CATALOG_LOCATION", () => {
  it("is the location hint of the catalog alone", async () => {
    expect(await objectsOf({ DATA_JURISDICTION: "eu", CATALOG_LOCATION: "weur" })).toEqual({
      catalogs: [["eu", "catalog", { locationHint: "weur" }]],
      sessions: [["eu", "developer", undefined]],
    });
  });

  it("is accepted by the runtime", async () => {
    const token = await signToken({ scope: ["cloud_controller.admin"] });
    const options = { method: "GET", url: STATUS, token };
    const response = await sendWith({ CATALOG_LOCATION: "weur" }, undefined, options);
    expect(await response.json()).toMatchObject({
      entries: 0,
      configuration: { CATALOG_LOCATION: "weur", DATA_JURISDICTION: null },
    });
  });
});
