import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { COMPLETE_SNAPSHOT } from "../../src/cache/edge-cache.ts";
import { FORMAT_VERSION } from "../../src/cache/manifest.ts";
import { TIMEOUT_MS } from "../../src/time/time-guarantees.ts";
import { readManifest, report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { keyOf, matchedPaths, resource, sendWithEnv } from "../support/worker.ts";

const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));

/** The fault of a read, by the names that it reads: it fails, hangs, or takes this many ms. */
type FaultOf = (names: string[]) => "fail" | "hang" | number | undefined;

/** A new isolate: an env object of its own, whose reads of KV are recorded. */
function createIsolate(variables: object = {}, faultOf: FaultOf = () => undefined) {
  const reads: string[][] = [];
  const get = async (names: string | string[], options: never) => {
    reads.push([names].flat());
    const fault = faultOf([names].flat());
    if (fault === "fail") throw new Error("KV GET failed: 503 Service Unavailable");
    if (fault === "hang") return new Promise(() => {});
    if (fault !== undefined) await scheduler.wait(fault);
    return env.RESOURCE_CACHE.get(names as string, options);
  };
  const RESOURCE_CACHE = { get, put: () => {}, delete: () => {} };
  return { reads, bindings: { ...env, RESOURCE_CACHE, ...variables } };
}

/** The indices of the resources that the isolate matches. */
const matchedIndices = async (bindings: object, resources = row(10)) =>
  (await matchedPaths(await sendWithEnv(bindings, { resources }))).map((path) =>
    Number(path?.match(/\d+/)?.[0]),
  );

/** Publishes twice: the second manifest names the snapshot that the first run has built. */
async function publish(): Promise<void> {
  advanceClock(20_000);
  await runAlarm();
  advanceClock(20_000);
  await runAlarm();
}

const deleteKeys = (...indices: number[]) =>
  Promise.all(indices.map((index) => env.RESOURCE_CACHE.delete(keyOf(index))));
const isManifest = (names: string[]) => names[0] === "manifest";
const isPart = (names: string[]) => names[0]?.startsWith("snapshot/") ?? false;
const isKeys = (names: string[]) => names[0]?.includes(":") ?? false;

const completeSnapshot = { ...COMPLETE_SNAPSHOT };
let logs: Record<string, unknown>[];
/** How many resources of each request the Cloud Controller matched. */
const matchedByOrigin = () =>
  logs.flatMap(({ event, tiers }) =>
    event === "matched" ? (tiers as { origin: { matched: number } }).origin.matched : [],
  );
beforeEach(async () => {
  logs = collectLogs();
  await report({ present: [0, 1, 2, 3].map(keyOf) });
  await publish();
});
afterEach(async () => {
  Object.assign(COMPLETE_SNAPSHOT, completeSnapshot);
  vi.restoreAllMocks();
  await reset();
});

describe("reads of Workers KV", () => {
  it("reads no keys if the snapshot has the whole pool", async () => {
    const { bindings, reads } = createIsolate();
    for (const ms of [0, 0, 61_000]) {
      advanceClock(ms);
      expect(await matchedIndices(bindings, row(1000))).toEqual([0, 1, 2, 3]);
    }
    expect(reads.filter(isKeys)).toEqual([]);
  });

  it("reads nothing if FEATURE_RESOURCE_MATCHING is false", async () => {
    const { bindings, reads } = createIsolate({ FEATURE_RESOURCE_MATCHING: "false" });
    expect(await matchedIndices(bindings)).toEqual([]);
    expect(reads).toEqual([]);
  });

  it("reads the manifest again if the read failed that started before the body arrived", async () => {
    let failures = 1;
    const { bindings } = createIsolate({}, (names) =>
      isManifest(names) && failures-- > 0 ? "fail" : undefined,
    );
    expect(await matchedIndices(bindings)).toEqual([0, 1, 2, 3]);
  });

  it("reads keys if the snapshot can't be loaded", async () => {
    const { bindings, reads } = createIsolate({}, (names) => (isPart(names) ? "fail" : undefined));
    expect(await matchedIndices(bindings)).toEqual([0, 1, 2, 3]);
    expect(reads.filter(isKeys)).toHaveLength(1);
  });

  it("reads the manifest once a minute, and only keys that are not in memory", async () => {
    COMPLETE_SNAPSHOT.lessThan = 0;
    const { bindings, reads } = createIsolate();
    await matchedIndices(bindings, row(1000));
    reads.length = 0;
    for (let push = 0; push < 5; push++) expect(await matchedIndices(bindings, row(4))).toEqual([0, 1, 2, 3]);
    expect(reads).toEqual([]);
    expect(await matchedIndices(bindings, row(6))).toEqual([0, 1, 2, 3]);
    expect(reads).toEqual([[keyOf(4), keyOf(5)]]);
    reads.length = 0;
    advanceClock(61_000);
    for (let push = 0; push < 5; push++) await matchedIndices(bindings, row(4));
    expect(reads).toEqual([["manifest"]]);
  });

  it("renews the manifest after a response while the isolate is in use", async () => {
    const { bindings, reads } = createIsolate({}, (names) => (isManifest(names) ? 30 : undefined));
    await matchedIndices(bindings, row(4));
    reads.length = 0;
    for (let push = 0; push < 4; push++) {
      advanceClock(15_000);
      await matchedIndices(bindings, row(4));
    }
    expect(reads).toEqual([["manifest"], ["manifest"]]);
  });

  it("reads a few keys at the same time as the manifest, if the isolate has a snapshot", async () => {
    COMPLETE_SNAPSHOT.lessThan = 0;
    const { bindings, reads } = createIsolate({}, (names) => (isManifest(names) ? 30 : undefined));
    expect(await matchedIndices(bindings)).toEqual([0, 1, 2, 3]);
    advanceClock(61_000);
    reads.length = 0;
    expect(await matchedIndices(bindings)).toEqual([0, 1, 2, 3]);
    expect(reads).toEqual([["manifest"], Array.from({ length: 6 }, (_, index) => keyOf(4 + index))]);
  });

  it("lets KV cache a part of a snapshot for a day once KV shows it everywhere, and for 30 s before", async () => {
    const ttls: unknown[] = [];
    const get = (names: string | string[], options: { cacheTtl: number }) => {
      if (isPart([names].flat())) ttls.push(options.cacheTtl);
      return env.RESOURCE_CACHE.get(names as string, options as never);
    };
    const RESOURCE_CACHE = { get, put: () => {}, delete: () => {} };
    for (const ms of [0, 60_000, 60_000]) {
      advanceClock(ms);
      expect(await matchedIndices({ ...env, RESOURCE_CACHE })).toEqual([0, 1, 2, 3]);
    }
    expect(ttls).toEqual([30, 30, 86_400]);
  });

  it("reads many keys only after manifest and snapshot", async () => {
    COMPLETE_SNAPSHOT.lessThan = 0;
    const { bindings, reads } = createIsolate();
    expect(await matchedIndices(bindings, row(5000))).toEqual([0, 1, 2, 3]);
    expect(reads.filter(isKeys).flat()).toHaveLength(4996);
  });
});

describe("a removal", () => {
  it("overrules snapshot and keys by a removal in the delta (R1.4)", async () => {
    await report({ removed: [resource(1).checksum.value], asOf: Date.now() + 1 });
    await publish();
    expect(await env.RESOURCE_CACHE.get(keyOf(1))).toBe("1");
    for (const count of [10, 5000]) {
      expect(await matchedIndices(createIsolate().bindings, row(count))).toEqual([0, 2, 3]);
    }
  });

  it.each([
    ["was idle", 61_000],
    ["was frozen for an hour", 3_600_000],
  ])("matches no removed file in concurrent requests of an isolate that %s (R1.1)", async (_, ms) => {
    const { bindings } = createIsolate({}, (names) => (isManifest(names) ? 100 : undefined));
    expect(await matchedIndices(bindings, row(1000))).toEqual([0, 1, 2, 3]);
    await report({ removed: [resource(1).checksum.value], asOf: Date.now() + 1 });
    await publish();
    advanceClock(ms);
    const results = await Promise.all(Array.from({ length: 6 }, () => matchedIndices(bindings)));
    expect(results).toEqual(Array(6).fill([0, 2, 3]));
  });

  it("matches nothing in a request that is frozen for a minute between look-up and response (R1.2)", async () => {
    // The isolate is frozen during the request to the Cloud Controller, after the look-up in the cache.
    const requests = fakeCloudController((request) => {
      advanceClock(65_000);
      return respondWithMatches(() => false)(request);
    });
    const { bindings } = createIsolate({ CLOUD_CONTROLLER_URL });
    expect(await matchedIndices(bindings)).toEqual([]);
    expect(requests).toHaveLength(1);
  });
});

describe("an unreadable manifest", () => {
  it("matches only from the Cloud Controller once the cached manifest is too old and can't be read again (R1.2)", async () => {
    fakeCloudController(respondWithMatches(() => true));
    let fails = false;
    const { bindings } = createIsolate({ CLOUD_CONTROLLER_URL }, (names) =>
      fails && isManifest(names) ? "fail" : undefined,
    );
    await matchedIndices(bindings, row(4));
    fails = true;
    advanceClock(44_000);
    expect(await matchedIndices(bindings, row(4))).toEqual([0, 1, 2, 3]);
    advanceClock(2_000);
    expect(await matchedIndices(bindings, row(4))).toEqual([0, 1, 2, 3]);
    expect(matchedByOrigin()).toEqual([0, 0, 4]);
    expect(logs.filter(({ event }) => event === "manifest-unreadable")).toHaveLength(1);
    expect(logs).toContainEqual(expect.objectContaining({ event: "lookup-incomplete", unread: 4 }));
  });

  it.each<[string, () => Promise<unknown>]>([
    ["that is not JSON", () => env.RESOURCE_CACHE.put("manifest", "oops")],
    ["of an unknown version", async () => put({ ...(await readManifest()), version: FORMAT_VERSION + 1 })],
    ["of another shape", () => put({ version: FORMAT_VERSION, state: "current" })],
    ["that names a missing delta", async () => put({ ...(await readManifest()), delta: absent })],
    ["whose delta is garbage", async () => put({ ...(await readManifest()), delta: garbage })],
  ])("matches neither by snapshot nor by keys with a manifest %s (R1.2)", async (_, damage) => {
    await damage();
    expect(await matchedIndices(createIsolate().bindings)).toEqual([]);
    expect(logs).toContainEqual(expect.objectContaining({ event: "manifest-unreadable" }));
  });

  const absent = { id: "none", added: 1, removed: 0, packed: null };
  const garbage = { ...absent, packed: "UE1WRA" };
  const put = (manifest: object) => env.RESOURCE_CACHE.put("manifest", JSON.stringify(manifest));
});

describe("a manifest that is not published again", () => {
  it("matches for a day by a manifest that is not published again (R1.2)", async () => {
    advanceClock(23.9 * 3_600_000);
    expect(await matchedIndices(createIsolate().bindings)).toEqual([0, 1, 2, 3]);
    advanceClock(0.2 * 3_600_000);
    expect(await matchedIndices(createIsolate().bindings)).toEqual([]);
    expect(await matchedIndices(createIsolate().bindings, row(1000))).toEqual([]);
  });
});

describe("a null read of the manifest", () => {
  /** As `createIsolate`; while `isHidden` is true, KV returns null for the manifest. */
  function createIsolateWithoutManifest(variables: object = {}) {
    const { bindings, reads } = createIsolate(variables);
    const kv = { isHidden: true };
    const get = async (names: string | string[], options: never) => {
      const value = await bindings.RESOURCE_CACHE.get(names, options);
      return kv.isHidden && names === "manifest" ? null : value;
    };
    return { kv, reads, bindings: { ...bindings, RESOURCE_CACHE: { ...bindings.RESOURCE_CACHE, get } } };
  }
  const publishRemoval = async () => {
    await report({ removed: [resource(1).checksum.value], asOf: Date.now() + 1 });
    await publish();
    expect(await env.RESOURCE_CACHE.get(keyOf(1))).toBe("1");
  };

  it.each([10, 5000])(
    "matches no key of %i resources if KV returns no manifest and none is cached (R1.2)",
    async (count) => {
      await publishRemoval();
      const { bindings, kv } = createIsolateWithoutManifest();
      expect(await matchedIndices(bindings, row(count))).toEqual([]);
      kv.isHidden = false;
      advanceClock(46_000);
      expect(await matchedIndices(bindings, row(count))).toEqual([0, 2, 3]);
    },
  );

  it("reads no keys after KV returned no manifest, until the manifest is read again", async () => {
    const { bindings, reads } = createIsolateWithoutManifest();
    expect(await matchedIndices(bindings)).toEqual([]);
    reads.length = 0;
    expect(await matchedIndices(bindings)).toEqual([]);
    expect(await matchedIndices(bindings, row(5000))).toEqual([]);
    expect(reads).toEqual([]);
  });

  it("uses the cached manifest for a minute if KV returns none (R1.2)", async () => {
    await publishRemoval();
    const { bindings, kv } = createIsolateWithoutManifest();
    kv.isHidden = false;
    expect(await matchedIndices(bindings)).toEqual([0, 2, 3]);
    kv.isHidden = true;
    for (const ms of [31_000, 15_000, 10_000]) {
      advanceClock(ms);
      expect(await matchedIndices(bindings)).toEqual([0, 2, 3]);
    }
    advanceClock(5_000);
    expect(await matchedIndices(bindings)).toEqual([]);
  });

  it("looks up all resources in the Cloud Controller if KV returns no manifest, and logs no warning", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const { bindings } = createIsolateWithoutManifest({ CLOUD_CONTROLLER_URL });
    for (let push = 0; push < 2; push++) expect(await matchedIndices(bindings, row(4))).toEqual([0, 1, 2, 3]);
    expect(matchedByOrigin()).toEqual([4, 4]);
    expect(logs.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
  });
});

describe("a snapshot", () => {
  it("waits for the snapshot in a new isolate if keys are missing", async () => {
    await deleteKeys(0, 1, 2, 3);
    const { bindings } = createIsolate({}, (names) => (isPart(names) ? 100 : undefined));
    expect(await matchedIndices(bindings)).toEqual([0, 1, 2, 3]);
  });

  it("waits for the snapshot for at most half of the deadline (R2.2)", async () => {
    await deleteKeys(0, 1, 2, 3);
    const { bindings } = createIsolate({ LOOKUP_DEADLINE_MS: "400" }, (names) =>
      isPart(names) ? 1_000 : undefined,
    );
    expect(await matchedIndices(bindings, row(5000))).toEqual([]);
  });

  it("loads a snapshot again immediately after a timeout", async () => {
    await deleteKeys(0, 1, 2, 3);
    const timeouts = TIMEOUT_MS.snapshotPart;
    TIMEOUT_MS.snapshotPart = 50;
    let isFrozen = true;
    const { bindings } = createIsolate({}, (names) => (isPart(names) && isFrozen ? "hang" : undefined));
    expect(await matchedIndices(bindings)).toEqual([]);
    isFrozen = false;
    expect(await matchedIndices(bindings)).toEqual([0, 1, 2, 3]);
    TIMEOUT_MS.snapshotPart = timeouts;
  });

  it("loads a snapshot once for concurrent requests", async () => {
    await deleteKeys(0, 1, 2, 3);
    const { bindings, reads } = createIsolate({}, (names) => (isPart(names) ? 50 : undefined));
    const results = await Promise.all(Array.from({ length: 8 }, () => matchedIndices(bindings)));
    expect(results).toEqual(Array(8).fill([0, 1, 2, 3]));
    expect(reads.filter(isPart)).toHaveLength(1);
  });

  it("never loads an earlier snapshot than another request has loaded", async () => {
    const { bindings, reads } = createIsolate();
    await matchedIndices(bindings);
    const bytes = new TextEncoder().encode(JSON.stringify({ resources: row(10) }));
    const slow = new ReadableStream({
      async pull(controller) {
        await report({ present: [4].map(keyOf) });
        advanceClock(25 * 60 * 60_000);
        await publish();
        expect(await matchedIndices(bindings)).toEqual([0, 1, 2, 3, 4]);
        reads.length = 0;
        controller.enqueue(bytes);
        controller.close();
      },
    });
    expect(await matchedPaths(await sendWithEnv(bindings, slow as object))).toHaveLength(5);
    expect(reads).toEqual([]);
  });

  it("never combines a snapshot with the delta of a later one", async () => {
    const { bindings } = createIsolate();
    await matchedIndices(bindings, row(1000));
    await report({ removed: [resource(1).checksum.value], asOf: Date.now() + 1 });
    await report({ present: [keyOf(8)], asOf: Date.now() + 2 });
    advanceClock(24 * 3_600_000);
    await publish();
    expect(await readManifest()).toMatchObject({ snapshot: { entries: 4 } });
    expect(await matchedIndices(bindings)).toEqual([0, 2, 3, 8]);
  });

  const partOf = async () => {
    const manifest = await readManifest();
    return `snapshot/${manifest?.state === "current" ? manifest.snapshot?.id : ""}/0`;
  };
  const truncate = async () => {
    const bytes = (await env.RESOURCE_CACHE.get(await partOf(), "arrayBuffer")) as ArrayBuffer;
    await env.RESOURCE_CACHE.put(await partOf(), bytes.slice(0, -8));
  };

  it.each<[string, () => Promise<unknown>]>([
    ["is cut off", truncate],
    ["is missing", async () => env.RESOURCE_CACHE.delete(await partOf())],
    ["has other content", async () => env.RESOURCE_CACHE.put(await partOf(), "<html>".repeat(100))],
  ])("ignores a snapshot that %s, and logs it once (R2.1)", async (_, damage) => {
    await damage();
    const { bindings } = createIsolate();
    expect(await matchedIndices(bindings, row(1000))).toEqual([0, 1, 2, 3]);
    await deleteKeys(3);
    expect(await matchedIndices(bindings, row(1000))).toEqual([0, 1, 2]);
    advanceClock(61_000);
    await matchedIndices(bindings);
    expect(logs.filter(({ event }) => event === "snapshot-unreadable")).toHaveLength(1);
  });
});

describe("a new observation", () => {
  it("matches a new observation by the delta, without a key and before any snapshot", async () => {
    await report({ present: [keyOf(8)], asOf: Date.now() + 1 });
    advanceClock(20_000);
    await runAlarm();
    await deleteKeys(8);
    expect(await matchedIndices(createIsolate().bindings)).toEqual([0, 1, 2, 3, 8]);
  });
});
