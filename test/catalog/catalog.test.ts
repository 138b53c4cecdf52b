import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { catalog, readManifest, report, runAlarm, withVariables } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { keyOf, matchedPaths, resource, send } from "../support/worker.ts";

const HOUR_MS = 3_600_000;
const sha1Of = (index: number) => resource(index).checksum.value;
const row = (count: number) => Array.from({ length: count }, (_, index) => keyOf(index));
const present = async () => (await catalog().page()).resources;
const names = async (prefix = "") => (await env.RESOURCE_CACHE.list({ prefix })).keys.map(({ name }) => name);
const NONE_REFUSED = { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 };

let logs: Record<string, unknown>[];
beforeEach(() => {
  logs = collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("of each SHA-1 the later observation wins, in whatever order they arrive", () => {
  const [early, late] = [-20_000, -10_000];
  const at = (ms: number) => ({ asOf: Date.now() + ms });

  it.each<[string, ("present" | "removed")[], number[], boolean]>([
    ["held, then removed", ["present", "removed"], [early, late], false],
    ["removed, then held", ["removed", "present"], [early, late], true],
    ["removed, and a late delivery of held", ["removed", "present"], [late, early], false],
    ["held, and a late delivery of removed", ["present", "removed"], [late, early], true],
    ["both at the same time", ["present", "removed"], [late, late], false],
    ["both at the same time, the other way round", ["removed", "present"], [late, late], false],
    ["repeated", ["present", "removed", "present", "removed"], [early, late, early, late], false],
  ])("%s", async (_, kinds, times, expected) => {
    const now = Date.now();
    for (const [index, kind] of kinds.entries()) {
      const what = kind === "present" ? { present: [keyOf(1)] } : { removed: [sha1Of(1)] };
      await report({ asOf: now + (times[index] ?? 0), ...what });
    }
    expect(await present()).toEqual(expected ? [keyOf(1)] : []);
  });

  it("an observation from the future counts as one of now", async () => {
    await report({ present: [keyOf(1)], ...at(HOUR_MS) });
    await report({ removed: [sha1Of(1)], ...at(1_000) });
    expect(await present()).toEqual([]);
  });

  it("one that is known already renews its time, so that a removal of before comes too late", async () => {
    const now = Date.now();
    await report({ present: [keyOf(1)], asOf: now - 3_000 });
    expect(await report({ present: [keyOf(1)], asOf: now - 1_000 })).toMatchObject({
      changed: 0,
      unchanged: 1,
    });
    expect(await report({ removed: [sha1Of(1)], asOf: now - 2_000 })).toMatchObject({ changed: 0 });
    expect(await present()).toEqual([keyOf(1)]);
  });

  it("a held of more than a day ago is not believed, and a removal is remembered for longer", async () => {
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

describe("a SHA-1 has one size", () => {
  const [right, wrong] = [keyOf(1), `${sha1Of(1)}:999`] as const;

  it("one that was measured stands against one that was said, and that is counted", async () => {
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

  it("one that is measured replaces one that was said, even if that was later", async () => {
    await report({ present: [wrong], sizes: "client-reported" });
    await report({ present: [right], sizes: "verified", asOf: Date.now() - 5_000 });
    expect(await present()).toEqual([right]);
  });

  it("of two that were said, the later counts", async () => {
    await report({ present: [right], sizes: "client-reported", asOf: Date.now() - 2_000 });
    await report({ present: [wrong], sizes: "client-reported", asOf: Date.now() - 1_000 });
    await report({ present: [right], sizes: "client-reported", asOf: Date.now() - 3_000 });
    expect(await present()).toEqual([wrong]);
  });

  it("the size that was corrected is overruled wherever it is published", async () => {
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

describe("what is refused is counted by its reason", () => {
  it("sizes outside the limits, both of which are included", async () => {
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

  it("more than 50,000 in one call are refused as a whole", async () => {
    const many = { asOf: Date.now(), removed: Array(50_001).fill(sha1Of(1)), sizes: "verified" as const };
    await withVariables({}, (instance) => expect(instance.observe(many)).rejects.toThrow(/limit of 50000/));
  });
});

describe("publishing", () => {
  it("an alarm comes within 2 s of an observation, and none of what changes nothing", async () => {
    const alarm = () => runInDurableObject(catalog(), (_, state) => state.storage.getAlarm());
    await report({ removed: [sha1Of(1)] });
    expect(await alarm()).toBe(null);
    const now = Date.now();
    await report({ present: [keyOf(1)] });
    expect(((await alarm()) ?? 0) - now).toBeLessThanOrEqual(2_000);
  });

  it("an alarm comes again where the platform has given it up, once what was told is told again", async () => {
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

  it("values first, the manifest last, and keys behind all", async () => {
    const written: string[] = [];
    const RESOURCE_CACHE = {
      get: () => null,
      delete: async () => {},
      put: async (name: string) => void written.push(name.replace(/\/.*/, "")),
    };
    await report({ present: row(3) });
    await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
    advanceClock(20_000);
    await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
    expect(written).toEqual(["delta", "manifest", "snapshot", keyOf(2), keyOf(1), keyOf(0), "manifest"]);
  });

  it("is touched every hour, and not before where nothing has changed", async () => {
    await report({ present: row(3) });
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

  it("deletes what is superseded after an hour, and not before", async () => {
    await report({ present: row(3) });
    await runAlarm();
    const [first] = await names("delta/");
    advanceClock(20_000);
    await report({ present: [keyOf(7)] });
    await runAlarm();
    expect(await names("delta/")).toContain(first);
    advanceClock(HOUR_MS);
    await runAlarm();
    expect(await names("delta/")).not.toContain(first);
    expect(await names("snapshot/")).toHaveLength(1);
  });

  it.each(["delta/", "manifest", "snapshot/"])(
    "a write of %s that KV refuses leaves what is published whole, and the next alarm goes on",
    async (refused) => {
      await report({ present: row(3) });
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
        dirtySince: null,
        entries: 2,
        snapshot: { entries: 2 },
      });
    },
  );

  it("the status tells since when changes wait, until a manifest tells all of them", async () => {
    const dirtySince = async () => (await catalog().status()).dirtySince;
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
      expect((await instance.status()).dirtySince).toBe(since);
    });
    // The second is of the snapshot that the first has built.
    for (const _ of ["delta", "snapshot"]) {
      advanceClock(20_000);
      await runAlarm();
    }
    expect(await dirtySince()).toBe(null);
    advanceClock(20_000);
    await catalog().forget();
    expect(await dirtySince()).not.toBe(null);
  });

  it("a change that comes while a manifest is written waits since then, whatever waited before", async () => {
    await report({ present: [keyOf(1)] });
    advanceClock(60_000);
    const writtenAt = Date.now();
    const put = async (name: string) => {
      if (name === "manifest") await report({ present: [keyOf(2)] });
    };
    const RESOURCE_CACHE = { get: () => null, put, delete: async () => {} };
    await withVariables({ RESOURCE_CACHE, KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    const { dirtySince } = await catalog().status();
    expect(Math.abs(Date.parse(dirtySince ?? "") - writtenAt)).toBeLessThan(1_000);
  });

  it("of 50,000 resources at once makes a snapshot, which the manifest names next", async () => {
    await report({ present: row(50_000) });
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    advanceClock(20_000);
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    expect(await readManifest()).toMatchObject({ snapshot: { entries: 50_000, parts: 1 }, delta: null });
  });

  it("publish writes a new snapshot and all keys again: a namespace that was emptied is whole", async () => {
    await report({ present: row(3) });
    await runAlarm();
    for (const name of await names()) await env.RESOURCE_CACHE.delete(name);
    advanceClock(20_000);
    await catalog().publish();
    await runAlarm();
    advanceClock(20_000);
    await runAlarm();
    expect(await names()).toEqual(expect.arrayContaining([...row(3), "manifest"]));
    expect(await catalog().status()).toMatchObject({
      dirtySince: null,
      keysWaiting: 0,
      snapshot: { entries: 3 },
    });
  });
});

describe("keys", () => {
  it("are written up to KEYS_PER_DAY, at most 900 an alarm, the newest first", async () => {
    await report({ present: row(1_000), asOf: Date.now() - 2_000 });
    await report({ present: row(1_600).slice(1_000), asOf: Date.now() - 1_000 });
    const put = vi.fn(async () => {});
    const bindings = { RESOURCE_CACHE: { get: () => null, put, delete: put }, KEYS_PER_DAY: "1000" };
    const written = () =>
      put.mock.calls.map(([name]: string[]) => name ?? "").filter((name) => /:/.test(name));
    await withVariables(bindings, (instance) => instance.alarm());
    expect(written()).toHaveLength(900);
    expect(written().slice(0, 600).sort()).toEqual(row(1_600).slice(1_000).sort());
    await withVariables(bindings, (instance) => instance.alarm());
    expect(written()).toHaveLength(1_000);
    await withVariables(bindings, (instance) => instance.alarm());
    expect(written()).toHaveLength(1_000);
    advanceClock(24 * HOUR_MS);
    await withVariables(bindings, (instance) => instance.alarm());
    expect(new Set(written()).size).toBe(1_600);
  });

  it("let a removal go first that is told while they are being written", async () => {
    const names: string[] = [];
    await report({ present: row(900) });
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    advanceClock(20_000);
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    advanceClock(20_000);
    const put = async (name: string) => {
      names.push(name);
      if (names.length === 1)
        await catalog().observe({ asOf: Date.now(), removed: [sha1Of(1)], sizes: "verified" });
    };
    const bindings = { RESOURCE_CACHE: { get: () => null, put, delete: put }, KEYS_PER_DAY: "900" };
    await withVariables(bindings, (instance) => instance.alarm());
    expect(names.indexOf("manifest")).toBeGreaterThan(0);
    expect(names.indexOf("manifest")).toBeLessThan(100);
    expect(names.length).toBeGreaterThan(800);
  });

  it("count no more where more of what departed would have to be overruled than fits", async () => {
    await report({ present: row(3) });
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

  it("that KV refuses wait, and delay nothing else", async () => {
    const put = (name: string, value: string) =>
      name.includes(":") ? Promise.reject(new Error("429")) : env.RESOURCE_CACHE.put(name, value);
    const RESOURCE_CACHE = {
      get: () => null,
      put,
      delete: (name: string) => env.RESOURCE_CACHE.delete(name),
    };
    await report({ present: row(3) });
    await withVariables({ RESOURCE_CACHE }, (instance) => instance.alarm());
    expect(await readManifest()).toMatchObject({ delta: { added: 3 } });
    expect(await catalog().status()).toMatchObject({ keysWaiting: 3 });
    advanceClock(HOUR_MS);
    await runAlarm();
    expect(await catalog().status()).toMatchObject({ keysWaiting: 0 });
  });

  it("of what departed are deleted once no write can still arrive, and overruled for as long as a place may serve them", async () => {
    await report({ present: row(3) });
    await runAlarm();
    advanceClock(20_000);
    await report({ removed: [sha1Of(1)] });
    await runAlarm();
    expect(await names(keyOf(1))).toHaveLength(1);
    advanceClock(20 * 60_000);
    await runAlarm();
    expect(await names(keyOf(1))).toHaveLength(0);
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

  it("none are written where KEYS_PER_DAY is 0", async () => {
    await report({ present: row(3) });
    await withVariables({ KEYS_PER_DAY: "0" }, (instance) => instance.alarm());
    expect(await names("aaaa")).toEqual([]);
  });
});

describe("forgetting", () => {
  it("forgets everything, and believes nothing of before", async () => {
    const before = Date.now();
    await report({ present: row(3) });
    await runAlarm();
    advanceClock(20_000);
    await catalog().forget();
    await runAlarm();
    expect(await present()).toEqual([]);
    expect(await readManifest()).toMatchObject({ snapshot: null, delta: { added: 0, removed: 3 } });
    expect(await report({ present: [keyOf(1)], asOf: before })).toMatchObject({ refused: { "too-old": 1 } });
    advanceClock(1_000);
    await report({ present: [keyOf(1)] });
    expect(await present()).toEqual([keyOf(1)]);
  });

  it("another KEY_PREFIX begins with nothing, and says at the old manifest that nothing counts there", async () => {
    await report({ present: row(3) });
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
    // The keys of the first time are still there, and overruled.
    expect(await readManifest()).toMatchObject({ state: "current", delta: { added: 1, removed: 3 } });
    expect(await env.RESOURCE_CACHE.get("b/manifest", "json")).toMatchObject({ state: "retired" });
  });
});

describe("pages", () => {
  it("tell all that is held, in the order of the SHA-1s", async () => {
    await report({ present: row(10_001) });
    await report({ removed: [sha1Of(5)], asOf: Date.now() + 1 });
    const first = await catalog().page();
    expect(first.resources).toHaveLength(10_000);
    expect(await catalog().page(first.after)).toEqual({ resources: [] });
    expect(first.resources).not.toContain(keyOf(5));
    expect((await catalog().status()).entries).toBe(10_000);
  });
});
