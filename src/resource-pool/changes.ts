import * as v from "valibot";
import { chunks } from "../chunks.ts";
import { sha1OfBlob } from "./blob-name.ts";
import { parseCacheKey, type ResourceKey } from "./resource-key.ts";

/** What arrives on the queue POOL_CHANGES: news of the pool, each kind in a shape of its own. */
export type PoolChange =
  /** The Cloud Controller holds these. */
  | { kind: "learned"; keys: ResourceKey[]; since: number | undefined }
  /** Something happened to this blob of the bucket: a hint to look at it. */
  | { kind: "blob"; objectKey: string; sha1: string; size: number | undefined }
  /** An object of the bucket that is no blob of the resource pool. */
  | { kind: "other-object"; objectKey: string };

/** Keys in one message, so that it and its batch stay well below a queue's 128 KB and 256 KB. */
export const LEARNED_KEYS_PER_MESSAGE = 500;

const isResourceKey = (value: unknown): value is ResourceKey =>
  typeof value === "string" && parseCacheKey(value, "") !== undefined;

/** The message by which the Worker tells itself what the Cloud Controller holds. */
const LearnedKeys = v.object({
  learned: v.pipe(v.array(v.custom<ResourceKey>(isResourceKey)), v.maxLength(LEARNED_KEYS_PER_MESSAGE)),
  /** When the keys were first sent, in ms since the epoch, where the message has been sent anew. */
  since: v.optional(v.number()),
});
type LearnedMessage = v.InferInput<typeof LearnedKeys>;

/** An event notification of R2; size and eTag are absent on deletes. */
const BucketEvent = v.object({
  action: v.string(),
  bucket: v.string(),
  object: v.object({ key: v.string(), size: v.optional(v.number()) }),
});

/** @returns undefined for a message that can never be understood */
export function parsePoolChange(body: unknown): PoolChange | undefined {
  if (v.is(LearnedKeys, body)) return { kind: "learned", keys: body.learned, since: body.since };
  if (!v.is(BucketEvent, body)) return undefined;
  const { key: objectKey, size } = body.object;
  const sha1 = sha1OfBlob(objectKey);
  return sha1 ? { kind: "blob", objectKey, sha1, size } : { kind: "other-object", objectKey };
}

/**
 * The messages that tell of learned keys.
 *
 * @param since when they were first told of, in ms since the epoch; default: by the message itself
 */
export function learnedMessages(keys: readonly ResourceKey[], since?: number): LearnedMessage[] {
  const time = since === undefined ? {} : { since };
  return chunks(keys, LEARNED_KEYS_PER_MESSAGE).map((learned) => ({ learned, ...time }));
}
