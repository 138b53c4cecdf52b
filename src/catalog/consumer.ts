import * as v from "valibot";
import type { Configuration } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { parseBlobName } from "../resources/blob-name.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { callCatalog } from "./call-catalog.ts";

const FIRST_RETRY_SECONDS = 10;
const LAST_RETRY_SECONDS = 3_600;

/** An event notification of R2. */
const BucketEvent = v.object({
  action: v.string(),
  bucket: v.string(),
  object: v.object({ key: v.string() }),
});

interface Context {
  configuration: Configuration;
  log: Log;
}

/** A blob of the resource pool and the events about it. */
interface Blob {
  objectKey: string;
  sha1: string;
  messages: Message[];
}

/**
 * Reports the blobs that a batch of events is about to the catalog. Events may come twice, late and in any
 * order, so the bucket is read. They are acknowledged once the catalog has recorded the blobs.
 */
export async function consumePoolEvents(batch: MessageBatch, context: Context): Promise<void> {
  const { configuration, log } = context;
  // Before the bucket is read: a later time could overrule a change that happens in between.
  const asOf = Date.now();
  const blobs = groupByBlob(batch, log);
  const states = await Promise.all(blobs.map((blob) => readBlobState(blob, context)));
  const known = states.filter((state) => state !== undefined);
  if (known.length === 0) return;
  const messages = known.flatMap(({ blob }) => blob.messages);
  const present = known.flatMap(({ blob, size }) =>
    size === undefined ? [] : [`${blob.sha1}:${size}` as const],
  );
  const removed = known.flatMap(({ blob, size }) => (size === undefined ? blob.sha1 : []));
  const observations = { asOf, present, removed, sizes: "verified" } as const;
  const outcome = await callCatalog(configuration, (catalog) => catalog.observe(observations));
  if (outcome instanceof Failure) {
    log.error("pool-events-failed", { blobs: known.length, cause: outcome.reason });
    for (const message of messages) retryLater(message);
  } else {
    for (const message of messages) message.ack();
  }
}

/** Acknowledges the messages that are not about a blob of the resource pool. */
function groupByBlob({ messages, queue }: MessageBatch, log: Log): Blob[] {
  const blobs = new Map<string, Blob>();
  for (const message of messages) {
    if (!v.is(BucketEvent, message.body)) {
      log.warn("message-invalid", { queue, id: message.id });
      message.ack();
      continue;
    }
    const objectKey = message.body.object.key;
    const sha1 = parseBlobName(objectKey)?.sha1;
    if (sha1 === undefined) {
      message.ack();
      continue;
    }
    const blob = blobs.get(objectKey) ?? { objectKey, sha1, messages: [] };
    blob.messages.push(message);
    blobs.set(objectKey, blob);
  }
  return [...blobs.values()];
}

/** @returns a size of undefined if the bucket lacks the blob; undefined if it can't be read: the messages are retried */
async function readBlobState(blob: Blob, { configuration, log }: Context) {
  try {
    if (!configuration.poolBucket) throw new Error("POOL_BUCKET is not bound: the blob can't be read");
    const object = await withTimeout(TIMEOUT_MS.bucketHead, configuration.poolBucket.head(blob.objectKey));
    return { blob, size: object?.size };
  } catch (error) {
    log.error("pool-events-failed", { blob: blob.objectKey, cause: causeOf(error) });
    for (const message of blob.messages) retryLater(message);
    return undefined;
  }
}

function retryLater(message: Message): void {
  const delaySeconds = Math.min(FIRST_RETRY_SECONDS * 2 ** (message.attempts - 1), LAST_RETRY_SECONDS);
  message.retry({ delaySeconds });
}
