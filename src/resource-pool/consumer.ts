import type { Configuration } from "../configuration.ts";
import { causeOf, type Log } from "../log.ts";
import { KV_KEYS_PER_READ } from "../platform-limits.ts";
import { learnedMessages, type PoolChange, parsePoolChange } from "./changes.ts";
import { PoolKeys } from "./pool-keys.ts";
import { type ResourceKey, resourceKey, sha1Of } from "./resource-key.ts";

/**
 * Operations on bindings that one batch may spend: 1,000 on the free plan, less what is already under way.
 * A hundred blobs cost 400 at most, and what is left always does for one message of learned keys.
 */
const OPERATIONS_PER_BATCH = 920;
const OPERATIONS_PER_BLOB = 4;

const FIRST_RETRY_SECONDS = 10;
const LAST_RETRY_SECONDS = 3_600;
/** A listing may lag a write by a minute. */
const LISTING_LAG_MS = 90_000;
/** For messages that only wait for another batch's operations, and can't be sent anew. */
const DEFERRED_SECONDS = 10;

type BlobChange = PoolChange & { kind: "blob" };
type LearnedChange = PoolChange & { kind: "learned" };
interface Received<C extends PoolChange> {
  message: Message;
  change: C;
}

interface Context {
  configuration: Configuration;
  log: Log;
}

/**
 * Brings the cache up to date with what a batch of POOL_CHANGES tells. Messages may come twice, late and in any
 * order. Each is acknowledged when its writes have landed, and retried, ever later, when they have not.
 */
export async function consumePoolChanges(batch: MessageBatch, context: Context): Promise<void> {
  const blobs = new Map<string, Received<BlobChange>[]>();
  const learned: Received<LearnedChange>[] = [];
  for (const message of batch.messages) {
    const change = parsePoolChange(message.body);
    if (change?.kind === "blob") {
      blobs.set(change.objectKey, [...(blobs.get(change.objectKey) ?? []), { message, change }]);
    } else if (change?.kind === "learned") {
      learned.push({ message, change });
    } else {
      if (!change) context.log.warn("message-not-understood", { queue: batch.queue, id: message.id });
      message.ack();
    }
  }
  // Events first: one that is lost leaves a wrong yes, a learned key that is lost only costs upload bytes.
  await Promise.all([...blobs.values()].map((received) => applyBlob(received, context)));
  await applyLearned(learned, OPERATIONS_PER_BATCH - blobs.size * OPERATIONS_PER_BLOB, context);
}

/** Makes the keys of one blob say what is true of it now, whatever its events say. */
async function applyBlob(
  received: readonly Received<BlobChange>[],
  { configuration, log }: Context,
): Promise<void> {
  const [first] = received;
  if (!first) return;
  const { objectKey, sha1 } = first.change;
  try {
    if (!configuration.poolBucket) throw new Error("POOL_BUCKET is not bound: the blob can't be looked at");
    const pool = new PoolKeys(configuration.cache, configuration.keyPrefix);
    const object = await configuration.poolBucket.head(objectKey);
    const key = object && resourceKey(sha1, object.size);
    if (key) {
      await pool.add(key);
      for (const { message } of received) message.ack();
    } else {
      const sizes = received.flatMap(({ change }) => change.size ?? []);
      await pool.remove(sha1, sizes);
      for (const { message } of received) acknowledgeRemoval(message);
    }
  } catch (error) {
    log.error("pool-change-failed", { blob: objectKey, cause: causeOf(error) });
    for (const { message } of received) retryLater(message);
  }
}

/** A key that was written just before may not have been listed: a recent event is looked at once more, later. */
function acknowledgeRemoval(message: Message): void {
  const age = Date.now() - message.timestamp.getTime();
  if (age < LISTING_LAG_MS) message.retry({ delaySeconds: LISTING_LAG_MS / 1000 });
  else message.ack();
}

async function applyLearned(
  received: readonly Received<LearnedChange>[],
  operations: number,
  { configuration, log }: Context,
): Promise<void> {
  const pool = new PoolKeys(configuration.cache, configuration.keyPrefix);
  const written = new Set<ResourceKey>();
  // One is kept for each message, to send it anew.
  let left = operations - received.length;
  for (const { message, change } of received) {
    // KV takes one write a second to a key: what another message of the batch has written is done.
    const keys = change.keys.filter((key) => !written.has(key));
    const cost = keys.length + Math.ceil(keys.length / KV_KEYS_PER_READ);
    const since = change.since ?? message.timestamp.getTime();
    if (cost > left) {
      await defer(message, learnedMessages(keys, since), configuration);
      continue;
    }
    left -= cost;
    try {
      const removed = await pool.removedSince(keys.map(sha1Of), since - LISTING_LAG_MS);
      const held = keys.filter((key) => !removed.has(sha1Of(key)));
      await Promise.all(held.map((key) => pool.add(key)));
      for (const key of held) written.add(key);
      message.ack();
    } catch (error) {
      log.error("pool-change-failed", { learned: keys.length, cause: causeOf(error) });
      retryLater(message);
    }
  }
}

/** Leaves a message to another batch. Sent anew, because a delivery counts as an attempt, and those are few. */
async function defer(
  message: Message,
  anew: readonly unknown[],
  { poolChanges }: Configuration,
): Promise<void> {
  try {
    if (!poolChanges) throw new Error("POOL_CHANGES is not bound");
    for (const body of anew) await poolChanges.send(body);
    message.ack();
  } catch {
    message.retry({ delaySeconds: DEFERRED_SECONDS });
  }
}

function retryLater(message: Message): void {
  const delaySeconds = Math.min(FIRST_RETRY_SECONDS * 2 ** (message.attempts - 1), LAST_RETRY_SECONDS);
  message.retry({ delaySeconds });
}
