import type { Configuration } from "../configuration.ts";
import { causeOf, type Log } from "../log.ts";
import { learnedMessages, type PoolChange, parsePoolChange } from "./changes.ts";
import { PoolKeys } from "./pool-keys.ts";
import { resourceKey, sha1Of } from "./resource-key.ts";

/**
 * Operations on bindings that one batch may spend: 1,000 on the free plan, less what is already under way.
 * A hundred blobs cost 400 at most, and what is left always does for one message of learned keys.
 */
const OPERATIONS_PER_BATCH = 900;
const OPERATIONS_PER_BLOB = 4;

const FIRST_RETRY_SECONDS = 10;
const LAST_RETRY_SECONDS = 3_600;
/** A listing may lag a write by a minute: what it did not find is looked for once more after that. */
const LISTING_LAG_SECONDS = 90;
/** For messages that only wait for the next batch's operations. */
const DEFERRED_SECONDS = 1;

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
      const found = await pool.remove(sha1, sizes);
      for (const { message } of received) {
        if (found === 0 && message.attempts === 1) message.retry({ delaySeconds: LISTING_LAG_SECONDS });
        else message.ack();
      }
    }
  } catch (error) {
    log.error("pool-change-failed", { blob: objectKey, cause: causeOf(error) });
    for (const { message } of received) retryLater(message);
  }
}

async function applyLearned(
  received: readonly Received<LearnedChange>[],
  operations: number,
  { configuration, log }: Context,
): Promise<void> {
  const pool = new PoolKeys(configuration.cache, configuration.keyPrefix);
  // One is kept for each message, to send it anew.
  let left = operations - received.length;
  for (const { message, change } of received) {
    left -= change.keys.length;
    const since = change.since ?? message.timestamp.getTime();
    if (left < 0) {
      await defer(message, learnedMessages(change.keys, since), configuration);
      continue;
    }
    try {
      const removed = await pool.removedSince(change.keys.map(sha1Of), since - LISTING_LAG_SECONDS * 1000);
      await Promise.all(change.keys.filter((key) => !removed.has(sha1Of(key))).map((key) => pool.add(key)));
      message.ack();
    } catch (error) {
      log.error("pool-change-failed", { learned: change.keys.length, cause: causeOf(error) });
      retryLater(message);
    }
  }
}

/** Leaves a message to the next batch. Sent anew, because a delivery counts as an attempt, and those are few. */
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
