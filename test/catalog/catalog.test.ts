import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Catalog } from "../../src/catalog/catalog.ts";
import { INLINE_DELTA } from "../../src/catalog/manifest-writer.ts";
import { catalog, readManifest, report, runAlarm, withVariables } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { countRows } from "../support/sql-rows.ts";
import { keyOf, matchedPaths, resource, send } from "../support/worker.ts";

const HOUR_MS = 3_600_000;
const sha1Of = (index: number) => resource(index).checksum.value;
const firstKeys = (count: number) => Array.from({ length: count }, (_, index) => keyOf(index));
const present = async () => (await catalog().page()).resources;
const cacheNames = async (prefix = "") =>
  (await env.RESOURCE_CACHE.list({ prefix })).keys.map(({ name }) => name);
const NONE_REFUSED = { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 };

const inlineDelta = { ...INLINE_DELTA };
let logs: Record<string, unknown>[];
beforeEach(() => {
  logs = collectLogs();
});
afterEach(async () => {
  Object.assign(INLINE_DELTA, inlineDelta);
  vi.restoreAllMocks();
  await reset();
});

describe("order of observations", () => {
  const [early, late] = [-20_000, -10_000];
  const at = (ms: number) => ({ asOf: Date.now() + ms });

  it.each<[string, ("present" | "removed")[], number[], boolean]>([
    ["present, then removed", ["present", "removed"], [early, late], false],
    ["removed, then present", ["removed", "present"], [early, late], true],
    ["removed, then an older present", ["removed", "present"], [late, early], false],
    ["present, then an older removed", ["present", "removed"], [late, early], true],
    ["present and removed at the same time", ["present", "removed"], [late, late], false],
    ["removed and present at the same time", ["removed", "present"], [late, late], false],
    ["both, repeated", ["present", "removed", "present", "removed"], [early, late, early, late], false],
  ])(
    "keeps the later observation of a SHA-1, and at the same time the removal: %s (R1.3)",
    async (_, kinds, times, expected) => {
      const now = Date.now();
      for (const [index, kind] of kinds.entries()) {
        const what = kind === "present" ? { present: [keyOf(1)] } : { removed: [sha1Of(1)] };
        await report({ asOf: now + (times[index] ?? 0), ...what });
      }
      expect(await present()).toEqual(expected ? [keyOf(1)] : []);
    },
  );

  it("records an observation from the future as one of now (R1.3)", async () => {
    await report({ present: [keyOf(1)], ...at(HOUR_MS) });
    await report({ removed: [sha1Of(1)], ...at(1_000) });
    expect(await present()).toEqual([]);
  });

  it("keeps the time of a file that is observed again, so that a late removal wins (R1.3)", async () => {
    const now = Date.now();
    await report({ present: [keyOf(1)], asOf: now - 3_000 });
    expect(await report({ present: [keyOf(1)], asOf: now - 1_000 })).toMatchObject({
      changed: 0,
      unchanged: 1,
    });
    expect(await report({ removed: [sha1Of(1)], asOf: now - 4_000 })).toMatchObject({ changed: 0 });
    expect(await report({ removed: [sha1Of(1)], asOf: now - 2_000 })).toMatchObject({ changed: 1 });
    expect(await present()).toEqual([]);
    await report({ present: [keyOf(1)], asOf: now });
    expect(await present()).toEqual([keyOf(1)]);
  });

  it("refuses a present resource that was observed a day ago, and keeps removals for longer (R1.3)", async () => {
    const now = Date.now();
    expect(await report({ present: [keyOf(1)], asOf: now - 24 * HOUR_MS })).toMatchObject({
      refused: { "too-old": 1 },
    });
    await report({ removed: [sha1Of(2)], asOf: now });
    advanceClock(24 * HOUR_MS - 1_000);
    await runAlarm();
    expect(await report({ present: [keyOf(2)], asOf: now - 500 })).toMatchObject({
      changed: 0,
      unchanged: 1,
    });
    expect(await present()).toEqual([]);
  });
});

describe("sizes", () => {
  const [right, wrong] = [keyOf(1), `${sha1Of(1)}:999`] as const;

  it("refuses and counts a later client-reported size that conflicts with a verified one (R1.3)", async () => {
    await report({ present: [right], sizes: "verified" });
    advanceClock(1_000);
    expect(await report({ present: [wrong], sizes: "client-reported" })).toEqual({
      changed: 0,
      unchanged: 0,
      refused: { ...NONE_REFUSED, "conflicting-size": 1 },
    });
    expect(await present()).toEqual([right]);
    expect((await catalog().status()).refused["conflicting-size"]).toBe(1);
  });

  it("replaces a later client-reported size by a verified one (R1.3)", async () => {
    await report({ present: [wrong], sizes: "client-reported" });
    await report({ present: [right], sizes: "verified", asOf: Date.now() - 5_000 });
    expect(await present()).toEqual([right]);
  });

  it("keeps the later of two client-reported sizes (R1.3)", async () => {
    await report({ present: [right], sizes: "client-reported", asOf: Date.now() - 2_000 });
    await report({ present: [wrong], sizes: "client-reported", asOf: Date.now() - 1_000 });
    await report({ present: [right], sizes: "client-reported", asOf: Date.now() - 3_000 });
    expect(await present()).toEqual([wrong]);
  });

  it("publishes a corrected size as a removal with the old size and an addition with the new one (R1.4)", async () => {
    await report({ present: [wrong], sizes: "client-reported" });
    await runAlarm();
    advanceClock(20_000);
    await report({ present: [right], sizes: "verified" });
    await runAlarm();
    expect((await readManifest())?.state === "current" && (await readManifest())).toMatchObject({
      delta: { added: 1, removed: 1 },
    });
  });
});

describe("rows", () => {
  const observe = (count: number, sizes: "verified" | "client-reported") => (instance: Catalog) =>
    instance.observe({ asOf: Date.now(), present: firstKeys(count), sizes });

  it("writes no row for 20,000 files that are observed again", async () => {
    await report({ present: firstKeys(20_000) });
    advanceClock(HOUR_MS);
    const { read, written } = await countRows(observe(20_000, "verified"));
    expect(written).toBe(0);
    expect(read).toBeLessThan(3.1 * 20_000);
    advanceClock(1_000);
    expect((await countRows(observe(20_000, "client-reported"))).written).toBe(0);
  });

  it("writes a row for each client-reported size that is verified, once", async () => {
    await report({ present: firstKeys(1_000), sizes: "client-reported" });
    advanceClock(1_000);
    expect((await countRows(observe(1_000, "verified"))).written).toBe(1_000);
    advanceClock(1_000);
    expect((await countRows(observe(1_000, "verified"))).written).toBe(0);
  });
});

describe("limits of a call", () => {
  it("refuses sizes below MINIMUM_SIZE and above MAXIMUM_SIZE, and counts them (R1.8)", async () => {
    await withVariables({ MINIMUM_SIZE: "10", MAXIMUM_SIZE: "20" }, async (instance) => {
      const keys = [8, 9, 19, 20].map(keyOf);
      const observed = await instance.observe({ asOf: Date.now(), present: keys, sizes: "verified" });
      expect(observed).toEqual({
        changed: 2,
        unchanged: 0,
        refused: { ...NONE_REFUSED, "outside-limits": 2 },
      });
    });
    expect(await present()).toEqual([keyOf(9), keyOf(19)]);
  });

  it("refuses a call with more than 50,000 observations", async () => {
    const many = { asOf: Date.now(), removed: Array(50_001).fill(sha1Of(1)), sizes: "verified" as const };
    await withVariables({}, (instance) => expect(instance.observe(many)).rejects.toThrow(/limit of 50000/));
  });
});

describe("publishing", () => {
  it("sets an alarm within 2 s after an observation, and none if nothing has changed (R1.1)", async () => {
    const alarm = () => runInDurableObject(catalog(), (_, state) => state.storage.getAlarm());
    await report({ removed: [sha1Of(1)] });
    expect(await alarm()).toBe(null);
    const now = Date.now();
    await report({ present: [keyOf(1)] });
    expect(((await alarm()) ?? 0) - now).toBeLessThanOrEqual(2_000);
  });

  it("sets the alarm again if the platform has given it up and an observation is repeated (R1.1)", async () => {
    const asOf = Date.now();
    const alarmAt = () => runInDurableObject(catalog(), (_, state) => state.storage.getAlarm());
    await report({ present: [keyOf(1)], asOf });
    await runInDurableObject(catalog(), (_, state) => state.storage.deleteAlarm());
    advanceClock(10 * 60_000);
    expect(await report({ present: [keyOf(1)], asOf })).toMatchObject({ changed: 0 });
    expect(await alarmAt()).not.toBe(null);
    await runAlarm();
    expect(await readManifest()).toMatchObject({ state: "current" });
  });

  it("puts a delta of up to 64 KB into the manifest, and stores a larger one as an object", async () => {
    INLINE_DELTA.maxBytes = 64 + 3 * 8;
    await report({ present: firstKeys(3) });
    await runAlarm();
    expect(await cacheNames("delta/")).toEqual([]);
    expect(await readManifest()).toMatchObject({ delta: { added: 3, packed: expect.any(String) } });
    advanceClock(20_000);
    await report({ present: [3, 4, 5, 6].map(keyOf) });
    await runAlarm();
    expect(await cacheNames("delta/")).toHaveLength(1);
    expect(await readManifest()).toMatchObject({ delta: { added: 4, packed: null } });
  });

  it("writes the delta or snapshot before the manifest that names it, and keys after it (R1.5)", async () => {
    INLINE_DELTA.maxBytes = 0;
    const written: string[] = [];
    const RESOURCE_CACHE = {
      get: () => null,
      delete: async () => {},
      put: async (name: string) => void written.push(name.replace(/\/.*/, "")),
    };
    await report({ present: firstKeys(3) });
    await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
    advanceClock(20_000);
    await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
    expect(written).toEqual(["delta", "manifest", "snapshot", keyOf(2), keyOf(1), keyOf(0), "manifest"]);
  });

  it("rewrites the manifest every hour, and not earlier if nothing has changed (R1.2)", async () => {
    await report({ present: firstKeys(3) });
    await runAlarm();
    advanceClock(20_000);
    await runAlarm();
    const first = await readManifest();
    advanceClock(HOUR_MS - 1_000);
    await runAlarm();
    expect(await readManifest()).toEqual(first);
    advanceClock(2_000);
    await runAlarm();
    expect(Date.parse((await readManifest())?.publishedAt ?? "")).toBeGreaterThan(
      Date.parse(first?.publishedAt ?? "") + HOUR_MS - 1_000,
    );
  });

  it("deletes superseded objects after an hour, and not earlier (R1.5)", async () => {
    INLINE_DELTA.maxBytes = 0;
    await report({ present: firstKeys(3) });
    await runAlarm();
    const [first] = await cacheNames("delta/");
    advanceClock(20_000);
    await report({ present: [keyOf(7)] });
    await runAlarm();
    advanceClock(HOUR_MS - 2_000);
    await runAlarm();
    expect(await cacheNames("delta/")).toContain(first);
    advanceClock(4_000);
    await runAlarm();
    expect(await cacheNames("delta/")).not.toContain(first);
    expect(await cacheNames("snapshot/")).toHaveLength(1);
  });

  it.each(["delta/", "manifest", "snapshot/"])(
    "keeps the published cache whole when KV refuses a write of %s, and repeats it in the next alarm (R1.5)",
    async (refused) => {
      INLINE_DELTA.maxBytes = 0;
      await report({ present: firstKeys(3) });
      await runAlarm();
      advanceClock(20_000);
      await runAlarm();
      const before = await readManifest();
      const put = (name: string, value: string) =>
        name.startsWith(refused)
          ? Promise.reject(new Error("KV PUT failed: 429 Too Many Requests"))
          : env.RESOURCE_CACHE.put(name, value);
      const RESOURCE_CACHE = {
        get: () => null,
        put,
        delete: (name: string) => env.RESOURCE_CACHE.delete(name),
      };
      advanceClock(25 * HOUR_MS);
      await report({ removed: [sha1Of(1)] });
      await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
      expect(logs).toContainEqual(expect.objectContaining({ event: "catalog-step-failed" }));
      if (refused !== "snapshot/") expect(await readManifest()).toEqual(before);
      advanceClock(HOUR_MS);
      await runAlarm();
      advanceClock(20_000);
      await runAlarm();
      expect(await catalog().status()).toMatchObject({
        dirty_since: null,
        entries: 2,
        snapshot: { entries: 2 },
      });
    },
  );

  it("returns the time of the oldest unpublished change in the status, until everything is published", async () => {
    const dirtySince = async () => (await catalog().status()).dirty_since;
    expect(await dirtySince()).toBe(null);
    const first = Date.now();
    await report({ present: [keyOf(1)] });
    const since = await dirtySince();
    expect(Date.parse(since ?? "") - first).toBeLessThan(1_000);
    advanceClock(60_000);
    await report({ present: [keyOf(2)] });
    const refuse = () => Promise.reject(new Error("KV PUT failed: 429 Too Many Requests"));
    const RESOURCE_CACHE = { get: () => null, put: refuse, delete: refuse };
    await withVariables({ RESOURCE_CACHE }, async (instance) => {
      await instance.alarm();
      expect((await instance.status()).dirty_since).toBe(since);
    });
    // The first run builds a snapshot; the second publishes it.
    for (const _ of ["delta", "snapshot"]) {
      advanceClock(20_000);
      await runAlarm();
    }
    expect(await dirtySince()).toBe(null);
    advanceClock(20_000);
    await catalog().forget();
    expect(await dirtySince()).not.toBe(null);
  });

  it("counts a change during the write of a manifest as unpublished since that write", async () => {
    await report({ present: [keyOf(1)] });
    advanceClock(60_000);
    const writtenAt = Date.now();
    const put = async (name: string) => {
      if (name === "manifest") await report({ present: [keyOf(2)] });
    };
    const RESOURCE_CACHE = { get: () => null, put, delete: async () => {} };
    await withVariables({ RESOURCE_CACHE, KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    const { dirty_since: dirtySince } = await catalog().status();
    expect(Math.abs(Date.parse(dirtySince ?? "") - writtenAt)).toBeLessThan(1_000);
  });

  it("publishes 50,000 new resources by a snapshot", async () => {
    await report({ present: firstKeys(50_000) });
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    advanceClock(20_000);
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    expect(await readManifest()).toMatchObject({ snapshot: { entries: 50_000, parts: 1 }, delta: null });
  });

  it("writes a new snapshot and all keys after the namespace was emptied and publish() was called", async () => {
    await report({ present: firstKeys(3) });
    await runAlarm();
    for (const name of await cacheNames()) await env.RESOURCE_CACHE.delete(name);
    advanceClock(20_000);
    await catalog().publish();
    await runAlarm();
    advanceClock(20_000);
    await runAlarm();
    expect(await cacheNames()).toEqual(expect.arrayContaining([...firstKeys(3), "manifest"]));
    expect(await catalog().status()).toMatchObject({
      dirty_since: null,
      keys_waiting: 0,
      snapshot: { entries: 3 },
    });
  });
});

describe("keys", () => {
  it("writes up to KEYS_PER_DAY keys, at most 900 per alarm, the newest first", async () => {
    await report({ present: firstKeys(1_000), asOf: Date.now() - 2_000 });
    await report({ present: firstKeys(1_600).slice(1_000), asOf: Date.now() - 1_000 });
    const put = vi.fn(async () => {});
    const bindings = { RESOURCE_CACHE: { get: () => null, put, delete: put }, KEYS_PER_DAY: "1000" };
    const written = () =>
      put.mock.calls.map(([name]: string[]) => name ?? "").filter((name) => /:/.test(name));
    await withVariables(bindings, (instance) => instance.alarm());
    expect(written()).toHaveLength(900);
    expect(written().slice(0, 600).sort()).toEqual(firstKeys(1_600).slice(1_000).sort());
    await withVariables(bindings, (instance) => instance.alarm());
    expect(written()).toHaveLength(1_000);
    await withVariables(bindings, (instance) => instance.alarm());
    expect(written()).toHaveLength(1_000);
    advanceClock(24 * HOUR_MS);
    await withVariables(bindings, (instance) => instance.alarm());
    expect(new Set(written()).size).toBe(1_600);
  });

  it("publishes a removal that is reported while keys are written, between two batches of them (R1.1)", async () => {
    const written: string[] = [];
    await report({ present: firstKeys(900) });
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    advanceClock(20_000);
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    advanceClock(20_000);
    const put = async (name: string) => {
      written.push(name);
      if (written.length === 1)
        await catalog().observe({ asOf: Date.now(), removed: [sha1Of(1)], sizes: "verified" });
    };
    const bindings = { RESOURCE_CACHE: { get: () => null, put, delete: put }, KEYS_PER_DAY: "900" };
    await withVariables(bindings, (instance) => instance.alarm());
    expect(written.indexOf("manifest")).toBeGreaterThan(0);
    expect(written.indexOf("manifest")).toBeLessThan(100);
    expect(written.length).toBeGreaterThan(800);
  });

  it("trusts no key if more than 500,000 keys would have to be overruled (R1.4)", async () => {
    await report({ present: firstKeys(3) });
    await runAlarm();
    await runInDurableObject(catalog(), (_, state) => {
      const insert = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500001)
        INSERT INTO tombstones SELECT '', CAST(printf('%020d', i) AS BLOB), 1, 1, 0, 1, 1 FROM n`;
      state.storage.sql.exec(insert);
      state.storage.sql.exec("UPDATE tombstones SET key_deleted_at = ?", Date.now());
    });
    advanceClock(20_000);
    await catalog().forget();
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    expect(await readManifest()).toMatchObject({ areKeysTrusted: false, delta: null });
    expect(await env.RESOURCE_CACHE.get(keyOf(1))).toBe("1");
    expect(await matchedPaths(await send({ resources: [resource(1)] }))).toEqual([]);
  });

  it("publishes the delta when KV refuses keys, and writes the keys later", async () => {
    const put = (name: string, value: string) =>
      name.includes(":") ? Promise.reject(new Error("429")) : env.RESOURCE_CACHE.put(name, value);
    const RESOURCE_CACHE = {
      get: () => null,
      put,
      delete: (name: string) => env.RESOURCE_CACHE.delete(name),
    };
    await report({ present: firstKeys(3) });
    await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
    expect(await readManifest()).toMatchObject({ delta: { added: 3 } });
    expect(await catalog().status()).toMatchObject({ keys_waiting: 3 });
    advanceClock(HOUR_MS);
    await runAlarm();
    expect(await catalog().status()).toMatchObject({ keys_waiting: 0 });
  });

  it("deletes the key of a removed resource after 20 minutes, and lists the removal for 25 hours more (R1.4)", async () => {
    await report({ present: firstKeys(3) });
    await runAlarm();
    advanceClock(20_000);
    await report({ removed: [sha1Of(1)] });
    await runAlarm();
    expect(await cacheNames(keyOf(1))).toHaveLength(1);
    advanceClock(20 * 60_000);
    await runAlarm();
    expect(await cacheNames(keyOf(1))).toHaveLength(0);
    const removed = async () => {
      const manifest = await readManifest();
      return manifest?.state === "current" ? manifest.delta?.removed : undefined;
    };
    for (let hour = 0; hour < 24; hour++) {
      advanceClock(HOUR_MS);
      await runAlarm();
      expect(await removed()).toBe(1);
    }
    advanceClock(2 * HOUR_MS);
    await runAlarm();
    advanceClock(20_000);
    await runAlarm();
    expect(await removed()).toBeUndefined();
  });

  it("writes no keys if KEYS_PER_DAY is 0", async () => {
    await report({ present: firstKeys(3) });
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    expect(await cacheNames("aaaa")).toEqual([]);
  });
});

describe("forget() and KEY_PREFIX", () => {
  it("removes everything on forget(), and then refuses earlier observations (R1.3)", async () => {
    const before = Date.now();
    await report({ present: firstKeys(3) });
    await runAlarm();
    advanceClock(20_000);
    expect(await catalog().status()).toMatchObject({ forgotten_at: null });
    await catalog().forget();
    await runAlarm();
    expect(await present()).toEqual([]);
    const { forgotten_at: forgottenAt } = await catalog().status();
    expect(Date.parse(forgottenAt ?? "")).toBeGreaterThan(before + 19_000);
    expect(await readManifest()).toMatchObject({ snapshot: null, delta: { added: 0, removed: 3 } });
    expect(await report({ present: [keyOf(1)], asOf: before })).toMatchObject({ refused: { "too-old": 1 } });
    advanceClock(1_000);
    await report({ present: [keyOf(1)] });
    expect(await present()).toEqual([keyOf(1)]);
  });

  it("starts with an empty catalog after KEY_PREFIX has changed, and retires the former manifest (R1.4)", async () => {
    await report({ present: firstKeys(3) });
    await runAlarm();
    advanceClock(20_000);
    await withVariables({ KEY_PREFIX: "b/" }, async (instance) => {
      await instance.observe({ asOf: Date.now(), present: [keyOf(7)], sizes: "verified" });
      await instance.alarm();
    });
    expect(await readManifest()).toMatchObject({ state: "retired" });
    expect(await env.RESOURCE_CACHE.get("b/manifest", "json")).toMatchObject({
      delta: { added: 1, removed: 0 },
    });
    advanceClock(20_000);
    await withVariables({}, async (instance) => {
      await instance.observe({ asOf: Date.now(), present: [keyOf(8)], sizes: "verified" });
      await instance.alarm();
    });
    // The keys that were written first are still in KV, and overruled.
    expect(await readManifest()).toMatchObject({ state: "current", delta: { added: 1, removed: 3 } });
    expect(await env.RESOURCE_CACHE.get("b/manifest", "json")).toMatchObject({ state: "retired" });
  });
});

describe("state", () => {
  it("continues with the saved state in a new instance of the catalog", async () => {
    await report({ present: firstKeys(20) });
    await runAlarm();
    const rejected = firstKeys(20).map((key) => key.slice(0, 40));
    await catalog().reportRejections({ asOf: Date.now(), verified: 20, rejected });
    const status = await catalog().status();
    expect(status).toMatchObject({ entries: 20, suspended_until: expect.any(String) });
    await runInDurableObject(catalog(), async (_, state) => {
      expect(await new Catalog(state, env).status()).toEqual(status);
    });
  });

  it("changes neither state nor resources if a call of the catalog fails", async () => {
    await report({ present: [keyOf(1)] });
    const before = await catalog().status();
    const invalid = { asOf: Date.now(), sizes: "verified" as const, present: [null as never] };
    await withVariables({}, (instance) =>
      expect(instance.observe({ ...invalid, removed: [sha1Of(1)] })).rejects.toThrow(TypeError),
    );
    expect(await present()).toEqual([keyOf(1)]);
    expect(await catalog().status()).toEqual(before);
    await report({ present: [keyOf(2)] });
    await runAlarm();
    expect(await readManifest()).toMatchObject({ delta: { added: 2, removed: 0 } });
  });
});

describe("pages", () => {
  it("lists all present resources in pages, in the order of their SHA-1s", async () => {
    await report({ present: firstKeys(10_001) });
    await report({ removed: [sha1Of(5)], asOf: Date.now() + 1 });
    const first = await catalog().page();
    expect(first.resources).toHaveLength(10_000);
    expect(await catalog().page(first.after)).toEqual({ resources: [] });
    expect(first.resources).not.toContain(keyOf(5));
    expect((await catalog().status()).entries).toBe(10_000);
  });
});
