import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TIMEOUT_MS } from "../../src/time/time-guarantees.ts";
import { readManifest, report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, fakeCloudController, respondWithMatches } from "../support/origin.ts";
import { keyOf, matchedPaths, resource, sendWithEnv } from "../support/worker.ts";

const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));

/** What happens to the reads of an isolate, by the names that they are of. */
type Trouble = (names: string[]) => "fail" | "hang" | number | undefined;

/** A fresh isolate: an env object of its own, whose reads of KV are noted. */
function freshIsolate(variables: object = {}, trouble: Trouble = () => undefined) {
  const reads: string[][] = [];
  const get = async (names: string | string[], options: never) => {
    reads.push([names].flat());
    const what = trouble([names].flat());
    if (what === "fail") throw new Error("KV GET failed: 503 Service Unavailable");
    if (what === "hang") return new Promise(() => {});
    if (what !== undefined) await scheduler.wait(what);
    return env.RESOURCE_CACHE.get(names as string, options);
  };
  const RESOURCE_CACHE = { get, put: () => {}, delete: () => {} };
  return { reads, bindings: { ...env, RESOURCE_CACHE, ...variables } };
}

/** Which of the resources the isolate says are held, by their indices. */
const heldOf = async (bindings: object, resources = row(10)) =>
  (await matchedPaths(await sendWithEnv(bindings, { resources }))).map((path) =>
    Number(path?.match(/\d+/)?.[0]),
  );

/** The catalog publishes, and once more where there is a snapshot to name. */
async function publish(): Promise<void> {
  advanceClock(20_000);
  await runAlarm();
  advanceClock(20_000);
  await runAlarm();
}

const removeKeys = (...indices: number[]) =>
  Promise.all(indices.map((index) => env.RESOURCE_CACHE.delete(keyOf(index))));
const isManifest = (names: string[]) => names[0] === "manifest";
const isPart = (names: string[]) => names[0]?.startsWith("snapshot/") ?? false;
const isKeys = (names: string[]) => names[0]?.includes(":") ?? false;

let logs: Record<string, unknown>[];
/** How many resources of each request the Cloud Controller matched. */
const answeredByOrigin = () =>
  logs.flatMap(({ event, tiers }) =>
    event === "matched" ? (tiers as { origin: { matched: number } }).origin.matched : [],
  );
beforeEach(async () => {
  logs = collectLogs();
  await report({ present: [0, 1, 2, 3].map(keyOf) });
  await publish();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("what a push costs", () => {
  it("nothing for what is in memory, a small read a minute and isolate, and the keys of what is not", async () => {
    const { bindings, reads } = freshIsolate();
    await heldOf(bindings, row(1000));
    reads.length = 0;
    for (let push = 0; push < 5; push++) expect(await heldOf(bindings, row(4))).toEqual([0, 1, 2, 3]);
    expect(reads).toEqual([]);
    expect(await heldOf(bindings, row(6))).toEqual([0, 1, 2, 3]);
    expect(reads).toEqual([[keyOf(4), keyOf(5)]]);
    reads.length = 0;
    advanceClock(61_000);
    for (let push = 0; push < 5; push++) await heldOf(bindings, row(4));
    expect(reads).toEqual([["manifest"]]);
  });

  it("an isolate in use renews its copy behind an answer, so that no request waits for it", async () => {
    const { bindings, reads } = freshIsolate({}, (names) => (isManifest(names) ? 30 : undefined));
    await heldOf(bindings, row(4));
    reads.length = 0;
    for (let push = 0; push < 4; push++) {
      advanceClock(15_000);
      await heldOf(bindings, row(4));
    }
    expect(reads).toEqual([["manifest"], ["manifest"]]);
  });

  it("a few keys are read together with the manifest, not behind it", async () => {
    const { bindings, reads } = freshIsolate({}, (names) => (isManifest(names) ? 30 : undefined));
    expect(await heldOf(bindings)).toEqual([0, 1, 2, 3]);
    expect(reads.slice(0, 2)).toEqual([["manifest"], Array.from({ length: 10 }, (_, index) => keyOf(index))]);
    expect(reads.filter(isKeys)).toHaveLength(1);
  });

  it("many keys wait for the manifest and the snapshot, which may save them", async () => {
    const { bindings, reads } = freshIsolate();
    expect(await heldOf(bindings, row(5000))).toEqual([0, 1, 2, 3]);
    expect(reads.filter(isKeys).flat()).toHaveLength(4996);
  });
});

describe("a removal", () => {
  it("overrules the snapshot and the keys", async () => {
    await report({ removed: [resource(1).checksum.value], asOf: Date.now() + 1 });
    await publish();
    expect(await env.RESOURCE_CACHE.get(keyOf(1))).toBe("1");
    for (const count of [10, 5000]) {
      expect(await heldOf(freshIsolate().bindings, row(count))).toEqual([0, 2, 3]);
    }
  });

  it.each([
    ["was idle", 61_000],
    ["was frozen for an hour", 3_600_000],
  ])(
    "is known to an isolate that %s before it claims anything, and to requests that come at once",
    async (_, ms) => {
      const { bindings } = freshIsolate({}, (names) => (isManifest(names) ? 100 : undefined));
      expect(await heldOf(bindings, row(1000))).toEqual([0, 1, 2, 3]);
      await report({ removed: [resource(1).checksum.value], asOf: Date.now() + 1 });
      await publish();
      advanceClock(ms);
      const answers = await Promise.all(Array.from({ length: 6 }, () => heldOf(bindings)));
      expect(answers).toEqual(Array(6).fill([0, 2, 3]));
    },
  );

  it("is not missed by a request that is frozen between its look-up and its answer", async () => {
    // The Cloud Controller is asked after the cache has answered; meanwhile the isolate is frozen.
    const requests = fakeCloudController((request) => {
      advanceClock(65_000);
      return respondWithMatches(() => false)(request);
    });
    const { bindings } = freshIsolate({ CLOUD_CONTROLLER_URL });
    expect(await heldOf(bindings)).toEqual([]);
    expect(requests).toHaveLength(1);
  });
});

describe("a manifest that can't be read", () => {
  it("means that nothing of the cache counts once the copy is a minute old; the Cloud Controller is asked", async () => {
    fakeCloudController(respondWithMatches(() => true));
    let fails = false;
    const { bindings } = freshIsolate({ CLOUD_CONTROLLER_URL }, (names) =>
      fails && isManifest(names) ? "fail" : undefined,
    );
    await heldOf(bindings, row(4));
    fails = true;
    advanceClock(44_000);
    expect(await heldOf(bindings, row(4))).toEqual([0, 1, 2, 3]);
    advanceClock(2_000);
    expect(await heldOf(bindings, row(4))).toEqual([0, 1, 2, 3]);
    expect(answeredByOrigin()).toEqual([0, 0, 4]);
    expect(logs.filter(({ event }) => event === "manifest-unreadable")).toHaveLength(1);
    expect(logs).toContainEqual(expect.objectContaining({ event: "lookup-incomplete", unread: 4 }));
  });

  it.each<[string, () => Promise<unknown>]>([
    ["no JSON", () => env.RESOURCE_CACHE.put("manifest", "oops")],
    ["of a version that is not understood", async () => put({ ...(await readManifest()), version: 3 })],
    ["of another shape", () => put({ version: 2, state: "current" })],
    ["naming changes that are missing", async () => put({ ...(await readManifest()), delta: absent })],
  ])("being %s, neither snapshot nor keys count", async (_, spoil) => {
    await spoil();
    expect(await heldOf(freshIsolate().bindings)).toEqual([]);
    expect(logs).toContainEqual(expect.objectContaining({ event: "manifest-unreadable" }));
  });

  const absent = { id: "none", present: 1, removed: 0 };
  const put = (manifest: object) => env.RESOURCE_CACHE.put("manifest", JSON.stringify(manifest));
});

describe("a manifest that nobody touches", () => {
  it("counts for a day, and then neither snapshot nor keys do", async () => {
    advanceClock(23.9 * 3_600_000);
    expect(await heldOf(freshIsolate().bindings)).toEqual([0, 1, 2, 3]);
    advanceClock(0.2 * 3_600_000);
    expect(await heldOf(freshIsolate().bindings)).toEqual([]);
    expect(await heldOf(freshIsolate().bindings, row(1000))).toEqual([]);
  });
});

describe("a null read of the manifest", () => {
  /** As `freshIsolate`; while `isHidden` is true, KV returns null for the manifest. */
  function isolateWithoutManifest(variables: object = {}) {
    const { bindings, reads } = freshIsolate(variables);
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
    "matches no key in an isolate that has no current copy, for %i resources",
    async (count) => {
      await publishRemoval();
      const { bindings, kv } = isolateWithoutManifest();
      expect(await heldOf(bindings, row(count))).toEqual([]);
      kv.isHidden = false;
      advanceClock(46_000);
      expect(await heldOf(bindings, row(count))).toEqual([0, 2, 3]);
    },
  );

  it("reads no more keys until the manifest is read again", async () => {
    const { bindings, reads } = isolateWithoutManifest();
    expect(await heldOf(bindings)).toEqual([]);
    reads.length = 0;
    expect(await heldOf(bindings)).toEqual([]);
    expect(await heldOf(bindings, row(5000))).toEqual([]);
    expect(reads).toEqual([]);
  });

  it("keeps a current copy until it is a minute old", async () => {
    await publishRemoval();
    const { bindings, kv } = isolateWithoutManifest();
    kv.isHidden = false;
    expect(await heldOf(bindings)).toEqual([0, 2, 3]);
    kv.isHidden = true;
    for (const ms of [31_000, 15_000, 10_000]) {
      advanceClock(ms);
      expect(await heldOf(bindings)).toEqual([0, 2, 3]);
    }
    advanceClock(5_000);
    expect(await heldOf(bindings)).toEqual([]);
  });

  it("asks the Cloud Controller for everything, and logs no warning", async () => {
    fakeCloudController(respondWithMatches(() => true));
    const { bindings } = isolateWithoutManifest({ CLOUD_CONTROLLER_URL });
    for (let push = 0; push < 2; push++) expect(await heldOf(bindings, row(4))).toEqual([0, 1, 2, 3]);
    expect(answeredByOrigin()).toEqual([4, 4]);
    expect(logs.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
  });
});

describe("a snapshot", () => {
  it("is waited for by a fresh isolate where keys lack what it holds", async () => {
    await removeKeys(0, 1, 2, 3);
    const { bindings } = freshIsolate({}, (names) => (isPart(names) ? 100 : undefined));
    expect(await heldOf(bindings)).toEqual([0, 1, 2, 3]);
  });

  it("is waited for no longer than half of the deadline", async () => {
    await removeKeys(0, 1, 2, 3);
    const { bindings } = freshIsolate({ LOOKUP_DEADLINE_MS: "400" }, (names) =>
      isPart(names) ? 1_000 : undefined,
    );
    expect(await heldOf(bindings, row(5000))).toEqual([]);
  });

  it("is loaded anew at once where it came too late, for the isolate was frozen meanwhile", async () => {
    await removeKeys(0, 1, 2, 3);
    const timeouts = TIMEOUT_MS.snapshotPart;
    TIMEOUT_MS.snapshotPart = 50;
    let isFrozen = true;
    const { bindings } = freshIsolate({}, (names) => (isPart(names) && isFrozen ? "hang" : undefined));
    expect(await heldOf(bindings)).toEqual([]);
    isFrozen = false;
    expect(await heldOf(bindings)).toEqual([0, 1, 2, 3]);
    TIMEOUT_MS.snapshotPart = timeouts;
  });

  it("is loaded once for requests that come together", async () => {
    await removeKeys(0, 1, 2, 3);
    const { bindings, reads } = freshIsolate({}, (names) => (isPart(names) ? 50 : undefined));
    const answers = await Promise.all(Array.from({ length: 8 }, () => heldOf(bindings)));
    expect(answers).toEqual(Array(8).fill([0, 1, 2, 3]));
    expect(reads.filter(isPart)).toHaveLength(1);
  });

  it("that is replaced is dropped, and never answered from together with another's changes", async () => {
    const { bindings } = freshIsolate();
    await heldOf(bindings, row(1000));
    await report({ removed: [resource(1).checksum.value], asOf: Date.now() + 1 });
    await report({ present: [keyOf(8)], asOf: Date.now() + 2 });
    advanceClock(24 * 3_600_000);
    await publish();
    expect(await readManifest()).toMatchObject({ snapshot: { entries: 4 } });
    expect(await heldOf(bindings)).toEqual([0, 2, 3, 8]);
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
    ["cut off", truncate],
    ["missing", async () => env.RESOURCE_CACHE.delete(await partOf())],
    ["something else", async () => env.RESOURCE_CACHE.put(await partOf(), "<html>".repeat(100))],
  ])("that is %s is as if there were none, and is told once", async (_, spoil) => {
    await spoil();
    const { bindings } = freshIsolate();
    expect(await heldOf(bindings, row(1000))).toEqual([0, 1, 2, 3]);
    await removeKeys(3);
    expect(await heldOf(bindings, row(1000))).toEqual([0, 1, 2]);
    advanceClock(61_000);
    await heldOf(bindings);
    expect(logs.filter(({ event }) => event === "snapshot-unreadable")).toHaveLength(1);
  });
});

describe("what was just observed", () => {
  it("is told by the changes, without a key and before any snapshot", async () => {
    await report({ present: [keyOf(8)], asOf: Date.now() + 1 });
    advanceClock(20_000);
    await runAlarm();
    await removeKeys(8);
    expect(await heldOf(freshIsolate().bindings)).toEqual([0, 1, 2, 3, 8]);
  });
});
