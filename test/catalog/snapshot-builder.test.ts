import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, it, vi } from "vitest";
import { SnapshotMemory } from "../../src/bytes/snapshot-memory.ts";
import { keyValueStore } from "../../src/cache/key-value-store.ts";
import { partName } from "../../src/cache/manifest.ts";
import { unpack } from "../../src/cache/packed-value.ts";
import { CatalogStorage } from "../../src/catalog/catalog-storage.ts";
import { EntryList, type EntryRow } from "../../src/catalog/entry-list.ts";
import { PublishedObjects } from "../../src/catalog/published-objects.ts";
import { SnapshotBuilder } from "../../src/catalog/snapshot-builder.ts";
import { catalog, report } from "../support/catalog.ts";
import { keyOf } from "../support/worker.ts";

interface Setup {
  /** Resources in the catalog. */
  resources: number;
  /** Resources that were added and removed before. */
  removed?: number;
  entriesPerPart?: number;
  entriesMax?: number;
  /** A snapshot of the first `entriesMax` resources has at least so many. */
  incompleteEntries?: number;
  /** Called between steps with the number of the call. */
  publishChanges?: (storage: CatalogStorage, call: number) => void;
}

interface Built {
  /** The entries of each part. */
  parts: BigUint64Array[];
  /** The entries of the resources before the build, or of the first `entriesMax`. */
  expected: BigUint64Array;
  /** Calls of `publishChanges`. */
  calls: number;
  /** The largest buffer that the build allocated. */
  largestBytes: number;
}

/** Builds a snapshot of resources with random SHA-1s, and reads its parts. */
async function build(setup: Setup): Promise<Built> {
  const { resources, removed = 0, entriesPerPart = 100 } = setup;
  const { entriesMax = Number.MAX_SAFE_INTEGER, incompleteEntries = 0 } = setup;
  return runInDurableObject(catalog(), async (_, { storage: stored }) => {
    const storage = new CatalogStorage(stored);
    const insert = `WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < ?)
      INSERT INTO resources SELECT randomblob(20), n, 1, ?, 0, ? FROM rows`;
    const [present, removedState] = [0, 3];
    if (resources > 0) stored.sql.exec(insert, resources, present, 1);
    if (removed > 0) stored.sql.exec(insert, removed, removedState, 2);
    storage.change((draft) => {
      draft.revision = resources + 2 * removed;
    });
    const query = "SELECT sha1, size FROM resources WHERE state = 0 ORDER BY sha1 LIMIT ?";
    const rows = [...stored.sql.exec(query, entriesMax).raw<EntryRow>()];
    const objects = new PublishedObjects(stored.sql, (prefix) => keyValueStore(env.RESOURCE_CACHE, prefix));
    const builder = new SnapshotBuilder(storage, objects, {
      entries: entriesMax,
      incompleteEntries,
      entriesPerPart,
    });
    storage.change(({ snapshot }) => {
      snapshot.requestedAt = Date.now();
    });
    let calls = 0;
    const largestBytes = await largestAllocation(() =>
      builder.buildIfDue(async () => {
        setup.publishChanges?.(storage, calls);
        calls += 1;
      }),
    );

    const { secret, snapshot } = storage.state;
    if (!snapshot.current) throw new Error("no snapshot was built");
    const { id, parts: count, entries } = snapshot.current;
    const parts: BigUint64Array[] = [];
    for (let part = 0; part < count; part++) {
      const name = partName(id, part);
      const value = await env.RESOURCE_CACHE.get(name, "arrayBuffer");
      if (!value) throw new Error(`${name} is missing`);
      parts.push(unpack(value, name).added);
    }
    expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(entries);
    const list = new EntryList(secret);
    for (const row of rows) list.add(row);
    return { parts, expected: list.sorted().slice(), calls, largestBytes };
  });
}

/** The largest buffer that is allocated by its length during `work`, in bytes. */
async function largestAllocation(work: () => Promise<unknown>): Promise<number> {
  let largest = 0;
  for (const name of ["Uint8Array", "Uint32Array", "BigUint64Array", "ArrayBuffer"] as const) {
    const construct = (target: new (length: number) => ArrayBuffer, parameters: [number]) => {
      const array = Reflect.construct(target, parameters);
      if (typeof parameters[0] === "number") largest = Math.max(largest, array.byteLength);
      return array;
    };
    vi.stubGlobal(name, new Proxy(globalThis[name] as never, { construct }));
  }
  await work().finally(() => vi.unstubAllGlobals());
  return largest;
}

afterEach(reset);

it.each([
  [1, 1],
  [99, 1],
  [100, 1],
  [101, 2],
  [600, 6],
  [5_000, 50],
])(
  "writes each of %i entries to exactly one part, all of them ascending, in %i parts of about 100",
  async (resources, count) => {
    const { parts, expected } = await build({ resources });
    expect(parts).toHaveLength(count);
    expect(parts.flatMap((part) => [...part])).toEqual([...expected]);
    for (const { length } of parts) expect(length).toBeLessThan(160);
  },
);

it("writes empty parts if most of the changed resources were removed", async () => {
  const { parts, expected } = await build({ resources: 2, removed: 500 });
  expect(parts.length).toBeGreaterThan(2);
  expect(parts.flatMap((part) => [...part])).toEqual([...expected]);
});

it("writes an empty snapshot if one is requested for an empty catalog", async () => {
  expect((await build({ resources: 0 })).parts).toEqual([new BigUint64Array()]);
});

it("writes parts that a reader finds all entries in", async () => {
  const { parts, expected } = await build({ resources: 1_000 });
  const memory = new SnapshotMemory();
  memory.begin(expected.length);
  let index = 0;
  for (const part of parts) {
    memory.put(part, index);
    index += part.length;
  }
  memory.finish();
  const marks = new Uint8Array(expected.length);
  memory.mark(new Uint8Array(expected.buffer), marks, 1);
  expect(marks).toEqual(new Uint8Array(expected.length).fill(1));
});

it("leaves out a change that is recorded between two scans, which the delta has (R1.4)", async () => {
  const { parts, expected } = await build({
    resources: 300,
    publishChanges: ({ sql, state }, call) => {
      if (call !== 0) return;
      const insert = "INSERT INTO resources VALUES (randomblob(20), 1, 1, 0, 0, ?)";
      for (let added = 0; added < 100; added++) sql.exec(insert, state.revision + 1);
    },
  });
  expect(parts.flatMap((part) => [...part])).toEqual([...expected]);
});

it("calls publishChanges in each scan, so that changes do not wait for the snapshot (R1.1)", async () => {
  const { parts, calls } = await build({ resources: 300 });
  expect(calls).toBeGreaterThanOrEqual(parts.length + 2);
});

it("leaves out the last SHA-1s of a larger pool, the same in each scan, even if others are removed between the scans", async () => {
  const setup: Setup = {
    resources: 1_000,
    entriesMax: 600,
    publishChanges: ({ sql, state }, call) => {
      // After the first scan.
      if (call !== 0) return;
      const update = `UPDATE resources SET state = 3, revision = ?
        WHERE sha1 IN (SELECT sha1 FROM resources ORDER BY sha1 LIMIT 200)`;
      sql.exec(update, state.revision + 1);
    },
  };
  // A reader takes a snapshot of fewer entries for a complete one.
  await expect(build({ ...setup, incompleteEntries: 600 })).rejects.toThrow("first 600 resources are left");
  await reset();
  const { parts, expected } = await build(setup);
  const entries = parts.flatMap((part) => [...part]);
  expect(parts).toHaveLength(6);
  expect(entries.length).toBeGreaterThanOrEqual(400);
  expect(entries.length).toBeLessThan(600);
  const possible = new Set(expected);
  expect(entries.filter((entry) => !possible.has(entry))).toEqual([]);
});

it("allocates memory for two parts, however many resources there are", async () => {
  const [entriesPerPart, spare] = [10_000, 10_000];
  const { largestBytes } = await build({ resources: 6 * entriesPerPart, entriesPerPart });
  expect(largestBytes).toBe(8 * (2 * entriesPerPart + spare));
});

it("does not publish a snapshot if everything was forgotten between two scans (R1.3)", async () => {
  await report({ present: [keyOf(1)] });
  const publishChanges = (storage: CatalogStorage) =>
    storage.change((draft) => {
      draft.epoch += 1;
    });
  await expect(build({ resources: 300, publishChanges })).rejects.toThrow("no snapshot was built");
});
