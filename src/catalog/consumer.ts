import type { Configuration } from "../configuration.ts";
import { causeOf, type Log } from "../observability/log.ts";
import { resourceKey } from "../resources/resource-key.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import { catalogOf } from "./catalog-stub.ts";
import { parsePoolEvent } from "./pool-event.ts";

const FIRST_RETRY_SECONDS = 10;
const LAST_RETRY_SECONDS = 3_600;

interface Context {
  configuration: Configuration;
  log: Log;
}

/** What the bucket holds of a blob that events were about; no size where it holds nothing. */
interface Look {
  sha1: string;
  size: number | undefined;
  messages: readonly Message[];
}

/**
 * Tells the catalog what is true of the blobs that a batch of events is about. An event is only a hint, and may come
 * twice, late and in any order; it is acknowledged when the catalog has what was seen.
 */
export async function consumePoolEvents(batch: MessageBatch, context: Context): Promise<void> {
  const { log } = context;
  // Before any look: what is seen is true as of now or later, and every event of the batch is older.
  const asOf = Date.now();
  const blobs = new Map<string, { sha1: string; messages: Message[] }>();
  for (const message of batch.messages) {
    const event = parsePoolEvent(message.body);
    if (event?.sha1) {
      const blob = blobs.get(event.objectKey) ?? { sha1: event.sha1, messages: [] };
      blob.messages.push(message);
      blobs.set(event.objectKey, blob);
    } else {
      if (!event) log.warn("message-invalid", { queue: batch.queue, id: message.id });
      message.ack();
    }
  }

  const looks = await Promise.all([...blobs].map(([objectKey, blob]) => look(objectKey, blob, context)));
  const seen = looks.filter((one) => one !== undefined);
  if (seen.length === 0) return;
  const messages = seen.flatMap((one) => one.messages);
  try {
    const present = seen.flatMap(({ sha1, size }) =>
      size === undefined ? [] : (resourceKey(sha1, size) ?? []),
    );
    const removed = seen.flatMap(({ sha1, size }) => (size === undefined ? sha1 : []));
    const observations = { asOf, present, removed, sizes: "verified" } as const;
    await withTimeout(TIMEOUT_MS.catalogReport, catalogOf(context.configuration).observe(observations));
    for (const message of messages) message.ack();
  } catch (error) {
    log.error("pool-events-failed", { blobs: seen.length, cause: causeOf(error) });
    for (const message of messages) retryLater(message);
  }
}

/** @returns undefined where the bucket can't be asked: the messages are retried */
async function look(
  objectKey: string,
  { sha1, messages }: { sha1: string; messages: readonly Message[] },
  { configuration, log }: Context,
): Promise<Look | undefined> {
  try {
    if (!configuration.poolBucket) throw new Error("POOL_BUCKET is not bound: the blob can't be looked at");
    const object = await withTimeout(TIMEOUT_MS.bucketHead, configuration.poolBucket.head(objectKey));
    return { sha1, size: object?.size, messages };
  } catch (error) {
    log.error("pool-events-failed", { blob: objectKey, cause: causeOf(error) });
    for (const message of messages) retryLater(message);
    return undefined;
  }
}

function retryLater(message: Message): void {
  const delaySeconds = Math.min(FIRST_RETRY_SECONDS * 2 ** (message.attempts - 1), LAST_RETRY_SECONDS);
  message.retry({ delaySeconds });
}
