import { createExecutionContext, createMessageBatch, getQueueResult, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../src/index.ts";
import { tombstoneKey } from "../../src/resource-pool/tombstone.ts";
import { collectLogs } from "../support/logs.ts";
import { ask, matchedPaths, type SentResource } from "../support/worker.ts";

const CREATES = ["PutObject", "CopyObject", "CompleteMultipartUpload"];
const DELETES = ["DeleteObject", "LifecycleDeletion"];

interface Blob {
  sha1: string;
  objectKey: string;
  size: number;
}

/** The `index`th of a row of blobs, not yet in the bucket. */
function blob(index: number): Blob {
  const sha1 = index.toString(16).padStart(40, "b0");
  return { sha1, objectKey: `cc-resources/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`, size: index + 1 };
}

const store = ({ objectKey, size }: Blob) => env.POOL_BUCKET.put(objectKey, new Uint8Array(size));
const unstore = ({ objectKey }: Blob) => env.POOL_BUCKET.delete(objectKey);

/** An event notification as R2 sends it: deletes tell no size. */
function event(action: string, { objectKey, size }: Blob) {
  const object = CREATES.includes(action)
    ? { key: objectKey, size, eTag: "c846ff7a18f28c2e262116d6e8719ef0" }
    : { key: objectKey };
  return { account: "acc", action, bucket: "resource-pool", object, eventTime: "2026-11-01T10:00:00.000Z" };
}

/** Events of an hour ago: KV lists by now what was written then. */
const OLD = { timestamp: new Date(Date.now() - 3_600_000) };

interface Delivery {
  bindings?: object;
  attempts?: number;
  timestamp?: Date;
}

/** Delivers messages to the Worker's queue handler, and tells what became of each, by its place. */
async function deliver(
  bodies: unknown[],
  { bindings = env, attempts = 1, timestamp = new Date() }: Delivery = {},
) {
  const messages = bodies.map((body, index) => ({ id: String(index), timestamp, attempts, body }));
  const batch = createMessageBatch("pool-changes", messages);
  // The result tells who is retried; how much later is only told by the calls.
  const delays = batch.messages.map((message) => vi.spyOn(message, "retry"));
  const batchDelay = vi.spyOn(batch, "retryAll");
  await worker.queue(batch, bindings);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, createExecutionContext());
  const retries = retryMessages.map(({ msgId }) => ({
    index: Number(msgId),
    delaySeconds: delays[Number(msgId)]?.mock.lastCall?.[0]?.delaySeconds,
  }));
  return {
    acked: explicitAcks.map(Number).sort((a, b) => a - b),
    retries,
    retryAll: batchDelay.mock.lastCall?.[0],
  };
}

/** Whether a push would be told that the pool holds the blob. */
async function isHeld({ sha1, size }: Blob): Promise<boolean> {
  const resource: SentResource = { checksum: { value: sha1 }, size_in_bytes: size, path: "p" };
  return (await matchedPaths(await ask({ resources: [resource] }))).length === 1;
}

/** The real cache, some of whose writes fail. */
function unreliableCache(fails: (operation: string, key: string) => boolean): KVNamespace {
  return new Proxy(env.RESOURCE_CACHE, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (key: string, ...rest: unknown[]) =>
        fails(String(name), key)
          ? Promise.reject(new Error(`KV ${String(name)} failed: 429 Too Many Requests`))
          : member.call(target, key, ...rest);
    },
  });
}

beforeEach(() => {
  collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("events of the bucket", () => {
  it.each(CREATES)("%s: the blob is held", async (action) => {
    await store(blob(1));
    expect(await deliver([event(action, blob(1))])).toMatchObject({ acked: [0], retries: [] });
    expect(await isHeld(blob(1))).toBe(true);
  });

  it.each(DELETES)("%s: the blob is held no more, and has a tombstone for a week", async (action) => {
    await store(blob(1));
    await deliver([event("PutObject", blob(1))]);
    await unstore(blob(1));
    expect(await deliver([event(action, blob(1))], OLD)).toMatchObject({ acked: [0], retries: [] });
    const [listed] = (await env.RESOURCE_CACHE.list({ prefix: "tombstone/" })).keys;
    expect(Math.abs((listed?.expiration ?? 0) - Date.now() / 1000 - 604_800)).toBeLessThan(60);
    expect(await isHeld(blob(1))).toBe(false);
    const tombstone = await env.RESOURCE_CACHE.get(tombstoneKey(blob(1).sha1));
    expect(Date.parse(tombstone ?? "")).toBeGreaterThan(Date.now() - 10_000);
  });

  it("an action that is not known yet is a hint as well", async () => {
    await store(blob(1));
    expect(await deliver([event("RestoreObject", blob(1))])).toMatchObject({ acked: [0] });
    expect(await isHeld(blob(1))).toBe(true);
  });

  it("KEY_PREFIX is kept", async () => {
    await store(blob(1));
    await deliver([event("PutObject", blob(1))], { bindings: { ...env, KEY_PREFIX: "east/" } });
    expect((await env.RESOURCE_CACHE.list()).keys.map(({ name }) => name)).toEqual([
      `east/${blob(1).sha1}:2`,
    ]);
  });

  it("an empty blob is held with its size of 0", async () => {
    const empty = { ...blob(1), size: 0 };
    await store(empty);
    await deliver([event("PutObject", empty)]);
    expect((await env.RESOURCE_CACHE.list()).keys.map(({ name }) => name)).toEqual([`${empty.sha1}:0`]);
  });
});

describe("what is true now counts, not what an event says", () => {
  it("a create that comes after the delete does not bring the blob back", async () => {
    await store(blob(1));
    await unstore(blob(1));
    await deliver([event("DeleteObject", blob(1))]);
    await deliver([event("PutObject", blob(1))]);
    expect(await isHeld(blob(1))).toBe(false);
  });

  it("a delete that comes after the blob was created anew does not remove it", async () => {
    await store(blob(1));
    await deliver([event("DeleteObject", blob(1))]);
    expect(await isHeld(blob(1))).toBe(true);
  });

  it("a blob that is deleted while its create event waits is not held", async () => {
    await store(blob(1));
    const waiting = event("PutObject", blob(1));
    await unstore(blob(1));
    await deliver([waiting]);
    expect(await isHeld(blob(1))).toBe(false);
  });

  it("any order and any number of repeats come to the same", async () => {
    const blobs = Array.from({ length: 8 }, (_, index) => blob(index));
    await Promise.all(blobs.map(store));
    const events = blobs.flatMap((each) => [...CREATES, ...DELETES].map((action) => event(action, each)));
    await Promise.all(blobs.filter((_, index) => index % 2 === 0).map(unstore));
    for (let round = 0; round < 3; round++) {
      const shuffled = events.toSorted(() => Math.random() - 0.5);
      await deliver(shuffled);
      expect(await Promise.all(blobs.map(isHeld))).toEqual(blobs.map((_, index) => index % 2 === 1));
    }
  });

  it("the size is the bucket's, not the event's", async () => {
    await store(blob(1));
    await deliver([event("PutObject", { ...blob(1), size: 999 })]);
    expect(await isHeld(blob(1))).toBe(true);
    expect(await isHeld({ ...blob(1), size: 999 })).toBe(false);
  });

  it("a recent removal is looked at once more, when KV lists what was written just before it", async () => {
    const recent = { timestamp: new Date(Date.now() - 30_000) };
    const looks = { acked: [], retries: [{ index: 0, delaySeconds: 90 }] };
    for (const attempts of [1, 2]) {
      expect(await deliver([event("DeleteObject", blob(1))], { ...recent, attempts })).toMatchObject(looks);
    }
    await env.RESOURCE_CACHE.put(`${blob(1).sha1}:2`, "1");
    expect(await deliver([event("DeleteObject", blob(1))], OLD)).toMatchObject({ acked: [0] });
    expect(await isHeld(blob(1))).toBe(false);
  });

  it("a removal takes the size of a create that waits beside it, which KV may not list yet", async () => {
    const cache = new Proxy(env.RESOURCE_CACHE, {
      get(target, name) {
        if (name === "list") return async () => ({ keys: [], list_complete: true });
        const member = Reflect.get(target, name);
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
    await env.RESOURCE_CACHE.put(`${blob(1).sha1}:2`, "1");
    const events = [event("PutObject", blob(1)), event("DeleteObject", blob(1))];
    await deliver(events, { ...OLD, bindings: { ...env, RESOURCE_CACHE: cache } });
    expect(await isHeld(blob(1))).toBe(false);
  });

  it("a removal takes all sizes, however many somebody has made up", async () => {
    const keys = Array.from({ length: 1_100 }, (_, size) => `${blob(1).sha1}:${size}`);
    await Promise.all(keys.map((key) => env.RESOURCE_CACHE.put(key, "1")));
    await deliver([event("DeleteObject", blob(1))], OLD);
    expect((await env.RESOURCE_CACHE.list({ prefix: blob(1).sha1 })).keys).toEqual([]);
  });
});

describe("messages that are something else", () => {
  it("rubbish is logged and acknowledged, and what stands beside it is done", async () => {
    const logs = collectLogs();
    await store(blob(1));
    const rubbish = [null, 7, "text", [], {}, { object: {} }, { learned: ["not a key"] }, { learned: "x" }];
    const { acked, retries } = await deliver([...rubbish, event("PutObject", blob(1))]);
    expect(acked).toHaveLength(rubbish.length + 1);
    expect(retries).toEqual([]);
    expect(logs.filter(({ event: name }) => name === "message-not-understood")).toHaveLength(rubbish.length);
    expect(await isHeld(blob(1))).toBe(true);
  });

  it.each([
    "cc-droplets/ab/cd/abcd",
    "b0/b1/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1",
    "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1",
    "b0/b0/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1/droplet",
  ])("an object that is no blob of the pool (%s) is passed over", async (objectKey) => {
    await env.POOL_BUCKET.put(objectKey, "x");
    const { acked } = await deliver([event("PutObject", { ...blob(1), objectKey })]);
    expect(acked).toEqual([0]);
    expect((await env.RESOURCE_CACHE.list()).keys).toEqual([]);
  });
});

describe("learned keys", () => {
  it("are held", async () => {
    const learned = [`${blob(1).sha1}:2`, `${blob(2).sha1}:3`];
    expect(await deliver([{ learned }])).toMatchObject({ acked: [0], retries: [] });
    expect(await isHeld(blob(1))).toBe(true);
    expect(await isHeld(blob(2))).toBe(true);
  });

  it("a blob that was removed since the message was sent stays removed", async () => {
    await deliver([event("DeleteObject", blob(1))]);
    // KV may have spread neither when the message was sent.
    const timestamp = new Date(Date.now() + 60_000);
    expect(
      await deliver([{ learned: [`${blob(1).sha1}:2`, `${blob(2).sha1}:3`] }], { timestamp }),
    ).toMatchObject({
      acked: [0],
    });
    expect(await isHeld(blob(1))).toBe(false);
    expect(await isHeld(blob(2))).toBe(true);
  });

  it("a tombstone whose time is not understood is in doubt, and counts", async () => {
    await env.RESOURCE_CACHE.put(tombstoneKey(blob(1).sha1), "yesterday");
    await deliver([{ learned: [`${blob(1).sha1}:2`] }]);
    expect(await isHeld(blob(1))).toBe(false);
  });

  it("a blob that was learned anew long after its removal is held", async () => {
    await env.RESOURCE_CACHE.put(tombstoneKey(blob(1).sha1), new Date(Date.now() - 600_000).toISOString());
    await deliver([{ learned: [`${blob(1).sha1}:2`] }]);
    expect(await isHeld(blob(1))).toBe(true);
  });
});

describe("nothing is acknowledged before its writes have landed", () => {
  it("a failing write is retried, ever later, and the other messages are done", async () => {
    await Promise.all([store(blob(1)), store(blob(2))]);
    const cache = unreliableCache((operation, key) => operation === "put" && key.startsWith(blob(1).sha1));
    const bindings = { ...env, RESOURCE_CACHE: cache };
    const events = [event("PutObject", blob(1)), event("PutObject", blob(2))];
    for (const [attempts, delaySeconds] of [
      [1, 10],
      [2, 20],
      [5, 160],
      [99, 3600],
    ] as const) {
      const outcome = await deliver(events, { bindings, attempts });
      expect(outcome).toMatchObject({ acked: [1], retries: [{ index: 0, delaySeconds }] });
    }
    expect(await isHeld(blob(1))).toBe(false);
    await deliver(events, { attempts: 3 });
    expect(await isHeld(blob(1))).toBe(true);
  });

  it.each(["put", "list", "delete"])(
    "a removal whose %s fails is retried, and nothing is lost",
    async (broken) => {
      await env.RESOURCE_CACHE.put(`${blob(1).sha1}:2`, "1");
      const bindings = { ...env, RESOURCE_CACHE: unreliableCache((operation) => operation === broken) };
      const removal = [event("DeleteObject", blob(1))];
      expect(await deliver(removal, { ...OLD, bindings })).toMatchObject({ acked: [] });
      expect(await deliver(removal, OLD)).toMatchObject({ acked: [0] });
      expect(await isHeld(blob(1))).toBe(false);
    },
  );

  it("writes that fail now and then lose nothing, if deliveries are repeated", async () => {
    const blobs = Array.from({ length: 30 }, (_, index) => blob(index));
    await Promise.all(blobs.map(store));
    let writes = 0;
    const cache = unreliableCache((operation) => operation === "put" && writes++ % 3 === 0);
    let pending = [
      ...blobs.map((each) => event("PutObject", each)),
      { learned: [`${blob(99).sha1}:100`] },
    ] as unknown[];
    for (let attempts = 1; pending.length > 0 && attempts < 20; attempts++) {
      const { acked, retries } = await deliver(pending, {
        bindings: { ...env, RESOURCE_CACHE: cache },
        attempts,
      });
      expect(acked.length + retries.length).toBe(pending.length);
      pending = retries.map(({ index }) => pending[index]);
    }
    expect(pending).toEqual([]);
    expect(await Promise.all([...blobs, blob(99)].map(isHeld))).toEqual(Array(31).fill(true));
  });

  it("without POOL_BUCKET events are retried, not lost, and the log says why", async () => {
    const logs = collectLogs();
    const outcome = await deliver([event("PutObject", blob(1))], {
      bindings: { ...env, POOL_BUCKET: undefined },
    });
    expect(outcome).toMatchObject({ acked: [], retries: [{ index: 0 }] });
    expect(logs).toContainEqual(
      expect.objectContaining({ cause: expect.stringContaining("POOL_BUCKET is not bound") }),
    );
  });

  it("with a wrong configuration the whole batch is retried", async () => {
    const outcome = await deliver([event("PutObject", blob(1))], { bindings: { ...env, KV_CACHE_TTL: "x" } });
    expect(outcome).toMatchObject({ acked: [], retryAll: { delaySeconds: 300 } });
  });
});

describe("what a batch costs", () => {
  /** Counts every operation on the cache and the bucket. */
  function counted() {
    const operations: string[] = [];
    const counting = <T extends object>(target: T) =>
      new Proxy(target, {
        get(object, name) {
          const member = Reflect.get(object, name);
          if (typeof member !== "function") return member;
          return (...rest: unknown[]) => {
            operations.push(String(name));
            return member.apply(object, rest);
          };
        },
      });
    const bindings = {
      ...env,
      RESOURCE_CACHE: counting(env.RESOURCE_CACHE),
      POOL_BUCKET: counting(env.POOL_BUCKET),
    };
    return { operations, bindings };
  }

  it("several events for one blob cost one look", async () => {
    await store(blob(1));
    const { operations, bindings } = counted();
    const events = [...CREATES, ...DELETES, ...CREATES].map((action) => event(action, blob(1)));
    const { acked } = await deliver(events, { bindings });
    expect(acked).toHaveLength(events.length);
    expect(operations.sort()).toEqual(["head", "put"]);
  });

  const sha1For = (index: number) => index.toString(16).padStart(8, "0").padStart(40, "c");

  /** Every key that a row of messages tells of, 500 in each. */
  const learnedMessages = (count: number) =>
    Array.from({ length: count }, (_, row) => ({
      learned: Array.from({ length: 500 }, (_, index) => `${sha1For(row * 500 + index)}:1`),
    }));

  /** A queue that keeps what it is sent. */
  function recordingQueue() {
    const sent: unknown[] = [];
    const send = async (body: unknown) => {
      sent.push(body);
    };
    return { sent, queue: { send } };
  }

  it("a hundred messages stay below the thousand operations of the free plan, events first", async () => {
    const deletes = Array.from({ length: 95 }, (_, index) => event("DeleteObject", blob(index)));
    let pending: unknown[] = [...learnedMessages(5), ...deletes];
    for (let attempts = 1; pending.length > 0 && attempts < 10; attempts++) {
      const { operations, bindings } = counted();
      const { sent, queue } = recordingQueue();
      const delivery = { ...OLD, bindings: { ...bindings, POOL_CHANGES: queue }, attempts };
      const { acked, retries } = await deliver(pending, delivery);
      expect(operations.length + sent.length).toBeLessThan(1000);
      if (attempts === 1) expect({ acked: acked.length, sent: sent.length }).toEqual({ acked: 100, sent: 4 });
      pending = [...sent, ...retries.map(({ index }) => pending[index])];
    }
    expect(pending).toEqual([]);
    expect(await env.RESOURCE_CACHE.get(`${sha1For(2499)}:1`)).toBe("1");
  });

  it("small messages count by what they cost, reads too", async () => {
    const { operations, bindings } = counted();
    const small = Array.from({ length: 100 }, (_, row) => ({
      learned: Array.from({ length: 9 }, (_, index) => `${sha1For(row * 9 + index)}:1`),
    }));
    await deliver(small, { bindings });
    expect(operations.length).toBeLessThan(1000);
  });

  it("learned keys that must wait for the next batch use up no attempt, or many would end as dead letters", async () => {
    const { sent, queue } = recordingQueue();
    const bindings = { ...env, POOL_CHANGES: queue };
    const timestamp = new Date(Date.now() - 60_000);
    const [first, second] = learnedMessages(2) as [{ learned: string[] }, { learned: string[] }];
    const outcome = await deliver([first, second], { bindings, timestamp, attempts: 20 });
    expect(outcome).toMatchObject({ acked: [0, 1], retries: [] });
    expect(sent).toEqual([{ ...second, since: timestamp.getTime() }]);

    // What was removed in the meantime stays so, however often it was sent anew.
    const removed = second.learned[7] ?? "";
    await env.RESOURCE_CACHE.put(tombstoneKey(removed.slice(0, 40)), new Date().toISOString());
    const hour = new Date(Date.now() + 3_600_000);
    expect(await deliver(sent, { timestamp: hour })).toMatchObject({ acked: [0], retries: [] });
    expect(await env.RESOURCE_CACHE.get(removed)).toBe(null);
    expect(await env.RESOURCE_CACHE.get(second.learned[8] ?? "")).toBe("1");
  });

  it("learned keys that must wait are retried where they can't be sent anew", async () => {
    const bindings = { ...env, POOL_CHANGES: undefined };
    const outcome = await deliver(learnedMessages(2), { bindings });
    expect(outcome).toMatchObject({ acked: [0], retries: [{ index: 1, delaySeconds: 10 }] });
  });

  it("the same keys in several messages are written once", async () => {
    const { operations, bindings } = counted();
    const [message] = learnedMessages(1);
    const { acked } = await deliver([message, message, message], { bindings });
    expect(acked).toEqual([0, 1, 2]);
    expect(operations.filter((operation) => operation === "put")).toHaveLength(500);
  });
});

describe("through the real queue", () => {
  it("an object that is put and its event make it held; deleted, not held", async () => {
    await store(blob(1));
    await env.POOL_CHANGES.send(event("PutObject", blob(1)));
    await vi.waitFor(async () => expect(await isHeld(blob(1))).toBe(true), { timeout: 5_000, interval: 50 });
    await unstore(blob(1));
    await env.POOL_CHANGES.send(event("DeleteObject", blob(1)));
    await vi.waitFor(async () => expect(await isHeld(blob(1))).toBe(false), { timeout: 5_000, interval: 50 });
  });
});
