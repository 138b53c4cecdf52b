import * as v from "valibot";
import { parseBlobName } from "../resources/blob-name.ts";

/** An event notification of R2; a hint that something has happened to an object, whatever it says of it. */
const BucketEvent = v.object({
  action: v.string(),
  bucket: v.string(),
  object: v.object({ key: v.string() }),
});

/** The object of the pool's bucket that an event is about; `sha1` is absent where it is no blob of the resource pool. */
export interface PoolEvent {
  objectKey: string;
  sha1?: string;
}

/** @returns undefined for a message that can never be understood */
export function parsePoolEvent(body: unknown): PoolEvent | undefined {
  if (!v.is(BucketEvent, body)) return undefined;
  const { key: objectKey } = body.object;
  const sha1 = parseBlobName(objectKey)?.sha1;
  return sha1 ? { objectKey, sha1 } : { objectKey };
}
