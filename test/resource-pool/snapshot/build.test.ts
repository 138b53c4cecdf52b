import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Addition } from "../../../src/resource-pool/snapshot/addition.ts";
import { type BuildOutcome, buildSnapshot } from "../../../src/resource-pool/snapshot/build.ts";
import { openPart } from "../../../src/resource-pool/snapshot/format.ts";
import { kvStore } from "../../../src/resource-pool/snapshot/kv-store.ts";
import { PartWriter } from "../../../src/resource-pool/snapshot/part-writer.ts";
import { Snapshot } from "../../../src/resource-pool/snapshot/snapshot.ts";
import { type Pointer, readPointer, type SnapshotStore } from "../../../src/resource-pool/snapshot/store.ts";
import { tombstoneKey } from "../../../src/resource-pool/tombstone.ts";
import { collectLogs } from "../../support/logs.ts";
import { buildNow, currentPointer, MemoryStore, sha1At } from "../../support/snapshots.ts";

const HOUR = 3_600_000;
const START = Date.parse("2026-11-01T00:00:00Z");
const store = kvStore(env.RESOURCE_CACHE);

const putKeys = (...indices: number[]) =>
  Promise.all(indices.map((index) => env.RESOURCE_CACHE.put(`${sha1At(index)}:${index}`, "1")));

const build = (
  options: { now?: number; listings?: number; into?: SnapshotStore } = {},
): Promise<BuildOutcome> =>
  buildSnapshot(options.into ?? store, {
    keyPrefix: "",
    now: options.now ?? START,
    listings: options.listings ?? Number.POSITIVE_INFINITY,
  });

/** The methods of a store, to lay others over. */
const wrapped = (from: SnapshotStore): SnapshotStore => ({
  get: (name) => from.get(name),
  put: (name, value) => from.put(name, value),
  delete: (names) => from.delete(names),
  list: (prefix, cursor) => from.list(prefix, cursor),
});

async function add(now: number, ...indices: number[]): Promise<Pointer> {
  const addition = new Addition();
  for (const index of indices) addition.add(sha1At(index), index);
  return addition.write(store, "", now);
}

/** What an isolate would load now. */
async function load(from: SnapshotStore = store): Promise<Snapshot> {
  const { id, parts } = (await readPointer(from, "snapshot/current")) as Pointer;
  const opened = Array.from({ length: parts }, async (_, number) =>
    openPart((await from.get(`snapshot/part/${id}/${number}`)) as ArrayBuffer, id, number),
  );
  return new Snapshot(id, await Promise.all(opened));
}

async function heldIndices(upTo: number): Promise<number[]> {
  const snapshot = await load();
  return Array.from({ length: upTo }, (_, index) => index).filter((index) =>
    snapshot.has(sha1At(index), index),
  );
}

beforeEach(() => {
  collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("the scheduled handler", () => {
  it("builds a snapshot of the keys, and of nothing else in the namespace", async () => {
    await putKeys(1, 2, 3);
    await env.RESOURCE_CACHE.put(`east/${sha1At(4)}:4`, "1");
    await env.RESOURCE_CACHE.put(`${sha1At(5)}:5:x`, "1");
    await env.RESOURCE_CACHE.put(`${sha1At(6)}:${2 ** 32}`, "1");
    await buildNow();
    expect(await currentPointer()).toMatchObject({ entries: 3, parts: 1 });
    expect(await heldIndices(10)).toEqual([1, 2, 3]);
  });

  it("keeps to KEY_PREFIX", async () => {
    await putKeys(1);
    await env.RESOURCE_CACHE.put(`east/${sha1At(4)}:4`, "1");
    await buildNow({ ...env, KEY_PREFIX: "east/" });
    expect(await currentPointer()).toBeNull();
    const pointer = await env.RESOURCE_CACHE.get<Pointer>("east/snapshot/current", "json");
    expect(pointer).toMatchObject({ entries: 1 });
  });

  it("merges the keys written since, and takes out what has a tombstone", async () => {
    await putKeys(1, 2, 3);
    await buildNow();
    await putKeys(4);
    await env.RESOURCE_CACHE.delete(`${sha1At(2)}:2`);
    await env.RESOURCE_CACHE.put(tombstoneKey(sha1At(2)), "2026-11-01T00:00:00.000Z");
    await buildNow();
    expect(await heldIndices(10)).toEqual([1, 3, 4]);
  });

  it("a key that exists again wins over its tombstone", async () => {
    await putKeys(1);
    await env.RESOURCE_CACHE.put(tombstoneKey(sha1At(1)), "2026-11-01T00:00:00.000Z");
    await buildNow();
    expect(await heldIndices(3)).toEqual([1]);
  });

  it("leaves the snapshot alone where there is nothing new, so that no isolate loads it again", async () => {
    await putKeys(1, 2);
    await buildNow();
    const before = await currentPointer();
    const namesBefore = (await env.RESOURCE_CACHE.list()).keys.map(({ name }) => name);
    const later = Date.now() + HOUR;
    await buildNow(env, later);
    // But it says that the snapshot is still true.
    expect(await currentPointer()).toEqual({ ...before, checkedAt: new Date(later).toISOString() });
    expect((await env.RESOURCE_CACHE.list()).keys.map(({ name }) => name)).toEqual(namesBefore);
  });

  it("with a wrong configuration does nothing but say so", async () => {
    const logs = collectLogs();
    await buildNow({ ...env, KV_CACHE_TTL: "x" });
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "misconfigured", variable: "KV_CACHE_TTL" }),
    );
    expect(await currentPointer()).toBeNull();
  });
});

describe("a snapshot that nothing was built from for a week", () => {
  it("may hold what was removed and whose tombstone is gone: the next build begins without it", async () => {
    await putKeys(1, 2);
    await build();
    // Removed, and its tombstone has expired.
    await env.RESOURCE_CACHE.delete(`${sha1At(2)}:2`);
    await build({ now: START + 8 * 24 * HOUR });
    expect(await heldIndices(3)).toEqual([1]);
  });

  it("is no such snapshot where builds have found nothing to do", async () => {
    await add(START, 50);
    await build({ listings: 0 });
    for (let day = 1; day <= 10; day++) await build({ now: START + day * 24 * HOUR });
    expect(await heldIndices(60)).toEqual([50]);
  });
});

describe("a pointer that is not understood", () => {
  it.each(["{", "{}", '{"id":"a","entries":1,"builtAt":"x","checkedAt":"x","parts":1}', '{"version":2}'])(
    "%s: nothing is built over it",
    async (value) => {
      await putKeys(1);
      await env.RESOURCE_CACHE.put("snapshot/current", value);
      await expect(build()).rejects.toThrow("is not understood");
      expect(await env.RESOURCE_CACHE.get("snapshot/current")).toBe(value);
    },
  );
});

describe("a listing too long for one invocation", () => {
  it("goes on in the next, and comes to the same", async () => {
    const indices = Array.from({ length: 1_100 }, (_, index) => index);
    await putKeys(...indices);
    await add(START, 3_000, 3_001);
    const outcomes = [];
    for (let invocation = 0; invocation < 4; invocation++) {
      outcomes.push((await build({ now: START + invocation * HOUR, listings: 1 })).outcome);
      if (outcomes.at(-1) !== "continues") break;
    }
    expect(outcomes).toEqual(["continues", "built"]);
    expect(await heldIndices(3_100)).toEqual([...indices, 3_000, 3_001]);
    expect(await env.RESOURCE_CACHE.get("snapshot/building")).toBeNull();
  });

  it("begins anew where another builder has moved the pointer meanwhile", async () => {
    const memory = new MemoryStore();
    memory.names = Array.from({ length: 2_500 }, (_, index) => `${sha1At(index)}:${index}`).sort();
    expect((await build({ into: memory, listings: 1 })).outcome).toBe("continues");
    expect((await build({ into: memory, now: START + 1 })).outcome).toBe("built");
    memory.names = [...memory.names, `${sha1At(9_999)}:9999`].sort();
    for (let invocation = 2; invocation < 5; invocation++) {
      await build({ into: memory, now: START + invocation, listings: 1 });
    }
    const snapshot = await load(memory);
    expect(snapshot.entries).toBe(2_501);
    expect(snapshot.has(sha1At(9_999), 9_999)).toBe(true);
  });

  it("a million keys in two invocations, and they are found", async () => {
    const memory = new MemoryStore();
    const count = 1_000_000;
    memory.names = Array.from({ length: count }, (_, index) => `${sha1At(index)}:${index}`).sort();
    const outcomes = [];
    for (let invocation = 0; invocation < 2; invocation++) {
      outcomes.push((await build({ into: memory, now: START + invocation * HOUR, listings: 800 })).outcome);
    }
    expect(outcomes).toEqual(["continues", "built"]);
    const snapshot = await load(memory);
    expect(snapshot.entries).toBe(count);
    const some = memory.names.filter((_, index) => index % 23 === 0).map((name) => name.split(":"));
    const wanted = some.map(([value = "", size]) => ({ checksum: { value }, size_in_bytes: Number(size) }));
    expect(snapshot.hasEach(wanted).every((held) => held === 1)).toBe(true);
  });
});

describe("a pool that is too large for the snapshot", () => {
  it("is cut at 4 million entries, and what is left out is counted", () => {
    const progress = { parts: 8, entries: 3_999_999, newEntries: 0, leftOut: 0 };
    const writer = new PartWriter(new MemoryStore(), "", "id", progress);
    for (let index = 0; index < 3; index++) writer.add(index, 0, 1, true);
    expect(writer.progress).toEqual({ ...progress, entries: 4_000_000, newEntries: 1, leftOut: 2 });
  });
});

describe("removals", () => {
  it("are found on every page of their listing, whatever the pool holds in between", async () => {
    const memory = new MemoryStore();
    const removed = Array.from({ length: 2_500 }, (_, index) => sha1At(index * 2));
    for (const sha1 of removed) await memory.put(tombstoneKey(sha1), "2026-11-01T00:00:00.000Z");
    const paged: SnapshotStore = {
      ...wrapped(memory),
      async list(prefix, cursor = "0") {
        const { names } = await memory.list(prefix);
        const from = Number(cursor);
        return {
          names: names.slice(from, from + 7),
          cursor: from + 7 < names.length ? `${from + 7}` : undefined,
        };
      },
    };
    const addition = new Addition();
    for (let index = 0; index < 6_000; index++) addition.add(sha1At(index), index);
    await addition.write(memory, "", START);
    expect(await build({ into: paged, listings: 0 })).toMatchObject({
      outcome: "built",
      entries: 6_000 - 2_500,
    });
  });
});

describe("two builders at once lose nothing", () => {
  /** A store where, after so many reads of the pointer, another builder does something. */
  function interrupted(by: () => Promise<unknown>, reads: number): SnapshotStore {
    let pending = reads;
    return {
      ...store,
      async get(name) {
        const value = await store.get(name);
        if (name === "snapshot/current" && --pending === 0) await by();
        return value;
      },
    };
  }

  it("one that sees the other's pointer steps back", async () => {
    await putKeys(1);
    const outcome = await build({ into: interrupted(() => build({ now: START + 1 }), 1) });
    expect(outcome.outcome).toBe("superseded");
    expect(await heldIndices(3)).toEqual([1]);
  });

  it("one that overwrites the other's pointer, unseen, loses its additions until the next build only", async () => {
    await putKeys(1);
    await build();
    await putKeys(2);
    // The slower one still reads the pointer from before, as KV may serve it for a minute.
    const slower = interrupted(async () => {
      await add(START + 1, 50);
      expect(await build({ now: START + 2 })).toMatchObject({ outcome: "built", entries: 3 });
    }, 2);
    expect(await build({ into: slower, now: START + 1 })).toMatchObject({ outcome: "built", entries: 2 });
    expect(await heldIndices(60)).toEqual([1, 2]);
    await build({ now: START + 3 });
    expect(await heldIndices(60)).toEqual([1, 2, 50]);
  });

  it("an addition stays announced until a snapshot with it has stood for an hour, and is then cleaned up", async () => {
    await putKeys(1);
    const { id } = await add(START, 50);
    const announcement = `snapshot/addition/${id}`;
    await build({ now: START + 1 });
    await putKeys(2);
    await build({ now: START + 0.5 * HOUR });
    expect(await env.RESOURCE_CACHE.get(announcement)).not.toBeNull();
    await build({ now: START + 2 * HOUR });
    expect(await env.RESOURCE_CACHE.get(announcement)).toBeNull();
    await putKeys(3);
    await build({ now: START + 9 * HOUR });
    await putKeys(4);
    await build({ now: START + 18 * HOUR });
    expect(await heldIndices(60)).toEqual([1, 2, 3, 4, 50]);
    // What is left: the current snapshot, and the one before, which an isolate may still be loading.
    const parts = (await env.RESOURCE_CACHE.list({ prefix: "snapshot/part/" })).keys;
    expect(parts.length).toBeLessThanOrEqual(2);
  });
});

describe("additions", () => {
  it("are merged without a listing of the keys, which stay for the scheduled build", async () => {
    await putKeys(1);
    await add(START, 50, 51);
    expect(await build({ listings: 0 })).toMatchObject({ outcome: "built", entries: 2 });
    await build({ now: START + 1 });
    expect(await heldIndices(60)).toEqual([1, 50, 51]);
  });

  it("what is removed is gone after the next build, though no key tells its size", async () => {
    await add(START, 50, 51);
    await build({ now: START + 1 });
    await env.RESOURCE_CACHE.put(tombstoneKey(sha1At(50)), "2026-11-01T00:00:00.000Z");
    await build({ now: START + 2 });
    expect(await heldIndices(60)).toEqual([51]);
  });

  it("a part that is missing fails the build, and the snapshot stays as it is", async () => {
    await putKeys(1);
    await build();
    const before = await currentPointer();
    const { id } = await add(START, 50);
    await env.RESOURCE_CACHE.delete(`snapshot/part/${id}/0`);
    await expect(build({ now: START + 1 })).rejects.toThrow("is missing");
    expect(await currentPointer()).toEqual(before);
  });
});
