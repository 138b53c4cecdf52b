import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { tombstoneKey } from "../../../src/resource-pool/tombstone.ts";
import { collectLogs } from "../../support/logs.ts";
import { buildNow, currentPointer } from "../../support/snapshots.ts";
import { askWithEnv, hold, matchedPaths, resource } from "../../support/worker.ts";

const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));
const key = (index: number) => `${resource(index).checksum.value}:${index + 1}`;

/** A fresh isolate: an env object of its own, whose operations on KV are noted. */
function freshIsolate({ delayMs = 0 } = {}) {
  const gets: string[][] = [];
  const cache = new Proxy(env.RESOURCE_CACHE, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (name !== "get") return typeof member === "function" ? member.bind(target) : member;
      return async (names: string | string[], options: never) => {
        gets.push([names].flat());
        if (delayMs > 0 && typeof names === "string") await scheduler.wait(delayMs);
        return target.get(names as string, options);
      };
    },
  });
  return { gets, bindings: { ...env, RESOURCE_CACHE: cache } };
}

/** Which of the resources the isolate says are held. */
const heldOf = async (bindings: object, resources = row(10)) =>
  (await matchedPaths(await askWithEnv(bindings, { resources }))).map((path) =>
    Number(path?.match(/\d+/)?.[0]),
  );

function later(ms: number): void {
  const past = Date.now();
  vi.spyOn(Date, "now").mockImplementation(() => past + ms);
}

/** Takes keys away, as where a pool came in without any. */
const removeKeys = (...indices: number[]) =>
  Promise.all(indices.map((index) => env.RESOURCE_CACHE.delete(key(index))));

let logs: Record<string, unknown>[];
beforeEach(async () => {
  logs = collectLogs();
  await hold(...row(4));
  await buildNow();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("what a push costs with a snapshot", () => {
  it("one small read a minute an isolate, and the keys that the snapshot does not hold", async () => {
    const { bindings, gets } = freshIsolate();
    await heldOf(bindings, row(1000));
    gets.length = 0;
    for (let push = 0; push < 5; push++) expect(await heldOf(bindings, row(4))).toEqual([0, 1, 2, 3]);
    expect(gets).toEqual([]);
    expect(await heldOf(bindings, row(6))).toEqual([0, 1, 2, 3]);
    expect(gets).toEqual([[key(4), key(5)]]);
    gets.length = 0;
    later(61_000);
    for (let push = 0; push < 5; push++) await heldOf(bindings, row(4));
    expect(gets).toEqual([["snapshot/current"]]);
  });

  it("a key that was written since the snapshot is found all the same", async () => {
    const { bindings } = freshIsolate();
    await heldOf(bindings);
    await hold(resource(7));
    expect(await heldOf(bindings)).toEqual([0, 1, 2, 3, 7]);
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "matched", snapshot: 4, held: { keys: 1 } }),
    );
  });
});

describe("the first request of an isolate", () => {
  it("waits for the snapshot where that takes no longer than its keys", async () => {
    await removeKeys(0, 1, 2, 3);
    expect(await heldOf(freshIsolate().bindings, row(5000))).toEqual([0, 1, 2, 3]);
  });

  it("goes to the keys where the snapshot takes longer, and the next request has it", async () => {
    const { bindings, gets } = freshIsolate({ delayMs: 300 });
    expect(await heldOf(bindings)).toEqual([0, 1, 2, 3]);
    expect(gets.filter(({ length }) => length > 1)).toHaveLength(1);
    await removeKeys(0, 1, 2, 3);
    await vi.waitFor(async () => expect(await heldOf(bindings)).toEqual([0, 1, 2, 3]));
  });

  it("never waits longer than half of the deadline", async () => {
    // 5,000 keys would be worth 450 ms.
    const { bindings } = freshIsolate({ delayMs: 400 });
    await heldOf({ ...bindings, LOOKUP_DEADLINE_MS: "200" }, row(5000));
    expect(logs).toContainEqual(expect.objectContaining({ event: "matched", snapshot: 0 }));
  });

  it("shares nothing that is pending with others that come at once", async () => {
    const { bindings } = freshIsolate({ delayMs: 50 });
    const answers = await Promise.all(Array.from({ length: 8 }, () => heldOf(bindings)));
    expect(answers).toEqual(Array(8).fill([0, 1, 2, 3]));
  });
});

describe("a newer snapshot", () => {
  it("is loaded after the answer; the request that finds it is answered from the older one", async () => {
    const { bindings } = freshIsolate();
    await heldOf(bindings, row(1000));
    await hold(resource(8));
    await buildNow(env, Date.now() + 1000);
    await removeKeys(8);
    later(61_000);
    expect(await heldOf(bindings)).toEqual([0, 1, 2, 3]);
    expect(await heldOf(bindings)).toEqual([0, 1, 2, 3, 8]);
  });

  it("is waited for by an isolate that was idle: it knows no better than a fresh one", async () => {
    const { bindings } = freshIsolate();
    await heldOf(bindings, row(1000));
    await env.RESOURCE_CACHE.put(tombstoneKey(resource(1).checksum.value), new Date().toISOString());
    await removeKeys(1);
    await buildNow(env, Date.now() + 1000);
    later(3_540_000);
    expect(await heldOf(bindings, row(1000))).toEqual([0, 2, 3]);
  });

  it("that is taken away leaves the keys", async () => {
    const { bindings } = freshIsolate();
    await heldOf(bindings, row(1000));
    await removeKeys(0, 1);
    await env.RESOURCE_CACHE.delete("snapshot/current");
    later(61_000);
    await heldOf(bindings);
    expect(await heldOf(bindings)).toEqual([2, 3]);
  });

  it("makes a removal visible", async () => {
    const { bindings } = freshIsolate();
    await heldOf(bindings, row(1000));
    await env.RESOURCE_CACHE.put(tombstoneKey(resource(1).checksum.value), new Date().toISOString());
    await removeKeys(1);
    await buildNow(env, Date.now() + 1000);
    later(61_000);
    await heldOf(bindings);
    expect(await heldOf(bindings)).toEqual([0, 2, 3]);
  });

  it("being built again and again during traffic never brings a wrong yes", async () => {
    const { bindings } = freshIsolate();
    const clock = vi.spyOn(Date, "now");
    let now = performance.timeOrigin + performance.now();
    clock.mockImplementation(() => now);
    for (let round = 1; round <= 6; round++) {
      await hold(resource(10 + round));
      const [held] = await Promise.all([heldOf(bindings, row(40)), buildNow(env, now)]);
      for (const index of held)
        expect(index < 4 || (index > 10 && index <= 10 + round), `${index}`).toBe(true);
      now += 61_000;
    }
  });
});

describe("a snapshot that can't be used is as if there were none, and is told once", () => {
  const part = async () => `snapshot/part/${(await currentPointer())?.id}/0`;
  const truncate = async () => {
    const bytes = await env.RESOURCE_CACHE.get(await part(), "arrayBuffer");
    await env.RESOURCE_CACHE.put(await part(), (bytes as ArrayBuffer).slice(0, -12));
  };
  const setVersion = (version: number) => async () => {
    const bytes = (await env.RESOURCE_CACHE.get(await part(), "arrayBuffer")) as ArrayBuffer;
    new Uint32Array(bytes, 4, 1)[0] = version;
    await env.RESOURCE_CACHE.put(await part(), bytes);
  };
  const point = (value: string) => () => env.RESOURCE_CACHE.put("snapshot/current", value);

  it.each<[string, () => Promise<unknown>]>([
    ["cut off", truncate],
    ["of an older version", setVersion(0)],
    ["of a newer version", setVersion(2)],
    ["in the middle of being replaced", async () => env.RESOURCE_CACHE.delete(await part())],
    ["foreign", async () => env.RESOURCE_CACHE.put(await part(), "<html>".repeat(100))],
    ["named by a pointer that is no JSON", point("oops")],
    ["named by a pointer of another shape", point('{"format":2}')],
    [
      "too large for an isolate",
      async () => point(JSON.stringify({ ...(await currentPointer()), entries: 4_000_001 }))(),
    ],
  ])("%s", async (_, spoil) => {
    await spoil();
    const { bindings } = freshIsolate();
    expect(await heldOf(bindings, row(1000))).toEqual([0, 1, 2, 3]);
    await removeKeys(3);
    expect(await heldOf(bindings, row(1000))).toEqual([0, 1, 2]);
    later(61_000);
    await heldOf(bindings);
    expect(logs.filter(({ event }) => event === "snapshot-unreadable")).toHaveLength(1);
  });

  it("an older one goes on serving while the newer can't be read, but not for more than an hour", async () => {
    const { bindings } = freshIsolate();
    await heldOf(bindings, row(1000));
    await removeKeys(0, 1, 2, 3);
    await point("oops")();
    later(1_800_000);
    for (let push = 0; push < 2; push++) expect(await heldOf(bindings)).toEqual([0, 1, 2, 3]);
    vi.mocked(Date.now).mockRestore();
    later(3_700_000);
    expect(await heldOf(bindings)).toEqual([]);
  });

  it("one that no build has checked for a week may hold what was removed, and counts no more", async () => {
    const checkedAt = new Date(Date.now() - 7 * 86_400_000).toISOString();
    await point(JSON.stringify({ ...(await currentPointer()), checkedAt }))();
    await removeKeys(2);
    expect(await heldOf(freshIsolate().bindings, row(1000))).toEqual([0, 1, 3]);
  });

  it("no snapshot at all is nothing to tell", async () => {
    await reset();
    await hold(resource(1));
    expect(await heldOf(freshIsolate().bindings)).toEqual([1]);
    expect(logs.map(({ event }) => event)).not.toContain("snapshot-unreadable");
  });
});
