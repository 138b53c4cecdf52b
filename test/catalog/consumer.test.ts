import { createExecutionContext, createMessageBatch, getQueueResult, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../src/index.ts";
import { catalog, report } from "../support/catalog.ts";
import { collectLogs } from "../support/logs.ts";

const CREATES = ["PutObject", "CopyObject", "CompleteMultipartUpload"];
const DELETES = ["DeleteObject", "LifecycleDeletion"];

interface Blob {
  sha1: string;
  objectKey: string;
  size: number;
}

/** A blob that is not in the bucket yet; each index has another. */
function blob(index: number): Blob {
  const sha1 = index.toString(16).padStart(40, "b0");
  return {
    sha1,
    objectKey: `cc-resources/app_bits_cache/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`,
    size: index + 1,
  };
}

const store = ({ objectKey, size }: Blob) => env.POOL_BUCKET.put(objectKey, new Uint8Array(size));
const unstore = ({ objectKey }: Blob) => env.POOL_BUCKET.delete(objectKey);

/** An event notification as R2 sends it. Deletions have no size. */
function event(action: string, { objectKey, size }: Blob) {
  const object = CREATES.includes(action)
    ? { key: objectKey, size, eTag: "c846ff7a18f28c2e262116d6e8719ef0" }
    : { key: objectKey };
  return { account: "acc", action, bucket: "resource-pool", object, eventTime: "2026-11-01T10:00:00.000Z" };
}

interface Delivery {
  bindings?: object;
  attempts?: number;
}

/**
 * Delivers messages to the Worker's queue handler. Returns the indexes of those that were acknowledged and
 * retried.
 */
async function deliver(bodies: unknown[], { bindings = env, attempts = 1 }: Delivery = {}) {
  const timestamp = new Date();
  const messages = bodies.map((body, index) => ({ id: String(index), timestamp, attempts, body }));
  const batch = createMessageBatch("pool-changes", messages);
  // The result has the retried messages, and the calls of `retry` have the delays.
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

/** Whether the blob is in the catalog with its size. */
async function isPresent({ sha1, size }: Blob): Promise<boolean> {
  const { resources } = await catalog().page();
  return resources.includes(`${sha1}:${size}`);
}

/** A bucket whose `head` fails for some blobs. */
function unreliableBucket(fails: (objectKey: string) => boolean): object {
  return {
    head: (objectKey: string) =>
      fails(objectKey) ? Promise.reject(new Error("R2 HEAD failed: 503")) : env.POOL_BUCKET.head(objectKey),
  };
}

beforeEach(() => {
  collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("bucket events", () => {
  it.each(CREATES)("adds the blob after the bucket event %s", async (action) => {
    await store(blob(1));
    expect(await deliver([event(action, blob(1))])).toMatchObject({ acked: [0], retries: [] });
    expect(await isPresent(blob(1))).toBe(true);
  });

  it.each(DELETES)("removes the blob after the bucket event %s", async (action) => {
    await store(blob(1));
    await deliver([event("PutObject", blob(1))]);
    await unstore(blob(1));
    expect(await deliver([event(action, blob(1))])).toMatchObject({ acked: [0], retries: [] });
    expect(await isPresent(blob(1))).toBe(false);
  });

  it("reads the bucket after an event with an unknown action", async () => {
    await store(blob(1));
    expect(await deliver([event("RestoreObject", blob(1))])).toMatchObject({ acked: [0] });
    expect(await isPresent(blob(1))).toBe(true);
  });

  it("adds an empty blob with size 0 after its event", async () => {
    const empty = { ...blob(1), size: 0 };
    await store(empty);
    await deliver([event("PutObject", empty)]);
    expect(await isPresent(empty)).toBe(true);
  });
});

describe("late, repeated and wrong events", () => {
  it("does not add a blob when the event of its creation arrives after that of its deletion (R1.3)", async () => {
    await store(blob(1));
    await unstore(blob(1));
    await deliver([event("DeleteObject", blob(1))]);
    await deliver([event("PutObject", blob(1))]);
    expect(await isPresent(blob(1))).toBe(false);
  });

  it("does not remove a blob when the event of its deletion arrives after it was created again (R1.3)", async () => {
    await store(blob(1));
    await deliver([event("DeleteObject", blob(1))]);
    expect(await isPresent(blob(1))).toBe(true);
  });

  it("records the same resources for any order and number of events (R1.3)", async () => {
    const blobs = Array.from({ length: 8 }, (_, index) => blob(index));
    await Promise.all(blobs.map(store));
    const events = blobs.flatMap((each) => [...CREATES, ...DELETES].map((action) => event(action, each)));
    await Promise.all(blobs.filter((_, index) => index % 2 === 0).map(unstore));
    for (let round = 0; round < 3; round++) {
      await deliver(events.toSorted(() => Math.random() - 0.5));
      expect(await Promise.all(blobs.map(isPresent))).toEqual(blobs.map((_, index) => index % 2 === 1));
    }
  });

  it("records the size in the bucket, not in the event, as verified (R1.3)", async () => {
    await store(blob(1));
    await deliver([event("PutObject", { ...blob(1), size: 999 })]);
    expect(await isPresent(blob(1))).toBe(true);
    const observed = await report({
      present: [`${blob(1).sha1}:999`],
      sizes: "client-reported",
      asOf: Date.now() + 1000,
    });
    expect(observed).toMatchObject({ changed: 0, refused: { "conflicting-size": 1 } });
    expect(await isPresent(blob(1))).toBe(true);
  });

  it("keeps a removal that was reported after the bucket was read (R1.3)", async () => {
    await store(blob(1));
    const head = vi.fn(async (objectKey: string) => {
      const object = await env.POOL_BUCKET.head(objectKey);
      // The blob is deleted after the read, and this is reported first.
      await scheduler.wait(5);
      await report({ removed: [blob(1).sha1] });
      return object;
    });
    await deliver([event("PutObject", blob(1))], { bindings: { ...env, POOL_BUCKET: { head } } });
    expect(await isPresent(blob(1))).toBe(false);
  });
});

describe("other messages", () => {
  it("logs and acknowledges invalid messages, and processes the others", async () => {
    const logs = collectLogs();
    await store(blob(1));
    const rubbish = [null, 7, "text", [], {}, { object: {} }, { learned: ["x"] }];
    const { acked, retries } = await deliver([...rubbish, event("PutObject", blob(1))]);
    expect(acked).toHaveLength(rubbish.length + 1);
    expect(retries).toEqual([]);
    expect(logs.filter(({ event: name }) => name === "message-invalid")).toHaveLength(rubbish.length);
    expect(await isPresent(blob(1))).toBe(true);
  });

  it.each([
    "cc-droplets/ab/cd/abcd",
    "cc-resources/b0/b0/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1",
    "app_bits_cache/b0/b1/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1",
    "app_bits_cache/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1",
    "app_bits_cache/b0/b0/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1/droplet",
  ])("acknowledges and ignores an object that is not a blob of the pool: %s", async (objectKey) => {
    await env.POOL_BUCKET.put(objectKey, "x");
    expect(await deliver([event("PutObject", { ...blob(1), objectKey })])).toMatchObject({ acked: [0] });
    expect(await catalog().page()).toEqual({ resources: [] });
  });
});

describe("failures", () => {
  it("retries a blob that can't be read after 10 s up to an hour, and processes the others", async () => {
    await Promise.all([store(blob(1)), store(blob(2))]);
    const bindings = { ...env, POOL_BUCKET: unreliableBucket((key) => key === blob(1).objectKey) };
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
    expect(await isPresent(blob(1))).toBe(false);
    await deliver(events, { attempts: 3 });
    expect(await isPresent(blob(1))).toBe(true);
  });

  it("retries all messages if the catalog is unreachable", async () => {
    await store(blob(1));
    const observe = () => Promise.reject(new Error("the object was reset"));
    const bindings = { ...env, CATALOG: { getByName: () => ({ observe }) } };
    const outcome = await deliver([event("PutObject", blob(1)), event("DeleteObject", blob(2))], {
      bindings,
    });
    expect(outcome).toMatchObject({ acked: [], retries: [{ index: 0 }, { index: 1 }] });
  });

  it("retries all messages and logs the cause if POOL_BUCKET is not bound", async () => {
    const logs = collectLogs();
    const bindings = { ...env, POOL_BUCKET: undefined };
    const outcome = await deliver([event("PutObject", blob(1))], { bindings });
    expect(outcome).toMatchObject({ acked: [], retries: [{ index: 0 }] });
    expect(logs).toContainEqual(
      expect.objectContaining({ cause: expect.stringContaining("POOL_BUCKET is not bound") }),
    );
  });

  it("retries the whole batch after 5 min if the Worker is misconfigured", async () => {
    const outcome = await deliver([event("PutObject", blob(1))], { bindings: { ...env, KV_CACHE_TTL: "x" } });
    expect(outcome).toMatchObject({ acked: [], retryAll: { delaySeconds: 300 } });
  });
});

describe("cost", () => {
  it("reads the bucket once per blob and calls the catalog once per batch", async () => {
    await Promise.all([store(blob(1)), store(blob(2))]);
    const head = vi.fn((objectKey: string) => env.POOL_BUCKET.head(objectKey));
    const observe = vi.fn(async () => ({}));
    const bindings = { ...env, POOL_BUCKET: { head }, CATALOG: { getByName: () => ({ observe }) } };
    const events = [blob(1), blob(2)].flatMap((each) =>
      [...CREATES, ...DELETES, ...CREATES].map((action) => event(action, each)),
    );
    const { acked } = await deliver(events, { bindings });
    expect(acked).toHaveLength(events.length);
    expect(head).toHaveBeenCalledTimes(2);
    expect(observe).toHaveBeenCalledTimes(1);
  });
});
