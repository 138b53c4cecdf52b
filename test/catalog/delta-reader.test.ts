import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { base64url } from "jose";
import { afterEach, expect, it, vi } from "vitest";
import { deltaName, type Manifest } from "../../src/cache/manifest.ts";
import { type PackedValue, unpack } from "../../src/cache/packed-value.ts";
import { Catalog } from "../../src/catalog/catalog.ts";
import { CatalogStorage } from "../../src/catalog/catalog-storage.ts";
import { DeltaReader } from "../../src/catalog/delta-reader.ts";
import { INLINE_DELTA } from "../../src/catalog/manifest-writer.ts";
import { catalog, report } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { countRows } from "../support/sql-rows.ts";
import { keyOf, resource } from "../support/worker.ts";

const MINUTE_MS = 60_000;
const sha1Of = (index: number) => resource(index).checksum.value;
const inline = { ...INLINE_DELTA };

const index = fc.nat(7);
const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("present"), index, isOther: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("client-reported"), index, isOther: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("removed"), index }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("alarm"), afterMs: fc.constant(11_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("alarm"), afterMs: fc.constant(21 * MINUTE_MS) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("alarm"), afterMs: fc.constant(26 * 60 * MINUTE_MS) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("refused alarm") }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("publish") }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget") }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("KEY_PREFIX") }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("restart") }) },
);
type Operation = { kind: string; index?: number; isOther?: boolean; afterMs?: number };

const refuse = () => Promise.reject(new Error("KV PUT failed: 429 Too Many Requests"));

async function perform(instance: Catalog, { kind, index = 0, isOther, afterMs = 0 }: Operation) {
  const present = [isOther ? (`${sha1Of(index)}:999` as const) : keyOf(index)];
  const configured = instance as unknown as { env: Record<string, unknown> };
  advanceClock(1_000 + afterMs);
  const asOf = Date.now();
  if (kind === "present") await instance.observe({ asOf, present, sizes: "verified" });
  if (kind === "client-reported") await instance.observe({ asOf, present, sizes: "client-reported" });
  if (kind === "removed") await instance.observe({ asOf, removed: [sha1Of(index)], sizes: "verified" });
  if (kind === "alarm") await instance.alarm();
  if (kind === "publish") await instance.publish();
  if (kind === "forget") await instance.forget();
  if (kind === "KEY_PREFIX") configured.env = { ...env, KEY_PREFIX: configured.env.KEY_PREFIX ? "" : "b/" };
  if (kind === "refused alarm") {
    const before = configured.env;
    const RESOURCE_CACHE = { get: () => null, put: refuse, delete: async () => {} };
    configured.env = { ...before, RESOURCE_CACHE };
    await instance.alarm();
    configured.env = before;
  }
}

/** The delta of a manifest in KV. */
async function readDelta(prefix: string): Promise<PackedValue> {
  const empty = new BigUint64Array();
  const manifest = await env.RESOURCE_CACHE.get<Manifest>(`${prefix}manifest`, "json");
  if (manifest?.state !== "current" || !manifest.delta) return { added: empty, removed: empty };
  const { id, packed } = manifest.delta;
  const value = packed
    ? base64url.decode(packed).slice().buffer
    : await env.RESOURCE_CACHE.get(`${prefix}${deltaName(id)}`, "arrayBuffer");
  return unpack(value ?? new ArrayBuffer(), deltaName(id));
}

afterEach(async () => {
  vi.restoreAllMocks();
  Object.assign(INLINE_DELTA, inline);
  await reset();
});

it("publishes the same delta from memory as from all rows, after any operations between two manifests (R1.4)", async () => {
  let compared = 0;
  let run = 0;
  const property = fc.asyncProperty(
    fc.array(operation, { minLength: 30, maxLength: 60 }),
    fc.boolean(),
    async (operations, isInline) => {
      INLINE_DELTA.maxBytes = isInline ? inline.maxBytes : 0;
      await reset();
      await runInDurableObject(env.CATALOG.getByName(`run ${run++}`), async (first, state) => {
        let instance: Catalog = first;
        for (const operation of operations as Operation[]) {
          if (operation.kind === "restart") instance = new Catalog(state, env);
          await perform(instance, operation);
          const { sql } = state.storage;
          const stored = new CatalogStorage(state.storage).state;
          const { prefix, revision, manifest, snapshot, keys } = stored;
          const query = "SELECT COUNT(*) AS count FROM tombstones WHERE prefix = ? AND has_key = 1";
          expect(keys.overruled).toBe(sql.exec<{ count: number }>(query, prefix).one().count);
          const { published } = manifest;
          if (operation.kind !== "alarm" || published?.revision !== revision) continue;
          if (published.snapshotId !== (snapshot.current?.id ?? null)) continue;
          expect(await readDelta(prefix)).toEqual(new DeltaReader(sql).read(stored, true));
          compared += 1;
        }
      });
    },
  );
  await fc.assert(property, { numRuns: 40, seed: 1 });
  expect(compared).toBeGreaterThan(200);
});

it("reads all rows again if the trust in keys has changed", async () => {
  await report({ present: [keyOf(1), keyOf(2)] });
  await runInDurableObject(catalog(), async (_, { storage }) => {
    const stored = new CatalogStorage(storage);
    const insert = "INSERT INTO tombstones VALUES ('', randomblob(20), 1, 0, 0, 1, NULL)";
    for (let count = 0; count < 3; count++) storage.sql.exec(insert);
    const reader = new DeltaReader(storage.sql);
    for (const areKeysTrusted of [true, false, true]) {
      const delta = reader.read(stored.state, areKeysTrusted);
      expect([delta.added.length, delta.removed.length]).toEqual([2, areKeysTrusted ? 3 : 0]);
    }
  });
});

it.each([true, false])(
  "takes a removed resource out of the delta if there is no snapshot and keys are trusted: %s",
  async (areKeysTrusted) => {
    await report({ present: [keyOf(1), keyOf(2)] });
    await runInDurableObject(catalog(), async (instance: Catalog, { storage }) => {
      const reader = new DeltaReader(storage.sql);
      expect(reader.read(new CatalogStorage(storage).state, areKeysTrusted).added).toHaveLength(2);
      advanceClock(1_000);
      await instance.observe({ asOf: Date.now(), removed: [sha1Of(1)], sizes: "verified" });
      const { state } = new CatalogStorage(storage);
      expect(state.snapshot.current).toBeNull();
      const delta = reader.read(state, areKeysTrusted);
      expect(delta.added).toHaveLength(1);
      expect(delta).toEqual(new DeltaReader(storage.sql).read(state, areKeysTrusted));
    });
  },
);

it.each([
  [60, "while the object stays in memory", false, inline.maxBytes],
  [700, "of more than 64 KB while the object starts again for each", true, 0],
  [900, "of up to 64 KB while the object starts again for each", true, inline.maxBytes],
])(
  "reads at most %i rows per manifest in an hour of steady changes to 2,000 entries, with a delta %s",
  async (rowsMax, _, isRestarted, maxInlineBytes) => {
    INLINE_DELTA.maxBytes = maxInlineBytes;
    const manifests = 360;
    await report({ present: Array.from({ length: 2_000 }, (_, index) => keyOf(index)) });
    const { read } = await countRows(async (first) => {
      let instance = first;
      for (let round = 0; round < manifests; round++) {
        advanceClock(10_000);
        if (isRestarted) instance = new Catalog((first as unknown as { ctx: DurableObjectState }).ctx, env);
        const present = [0, 1, 2].map((added) => keyOf(5_000 + 3 * round + added));
        await instance.observe({ asOf: Date.now(), present, removed: [sha1Of(round)], sizes: "verified" });
        await instance.alarm();
      }
    });
    expect(read / manifests).toBeLessThan(rowsMax);
  },
);
