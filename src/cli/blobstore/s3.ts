import { paginateListObjectsV2, S3Client } from "@aws-sdk/client-s3";
import { reasonOf } from "../terminal/exit.ts";
import type { Place, StoredObject } from "./stored-object.ts";

const ATTEMPTS = 5;
/** Servers other than AWS take this region for theirs. */
const ELSEWHERE = "us-east-1";
/** What AWS' client says where neither variable nor profile names a region. */
const NO_REGION = /^Region is missing$/;
const REGION_ADVICE =
  "Set AWS_REGION to the bucket's; or for another server than AWS' (R2, MinIO, …) give --endpoint.";

/**
 * The objects of an S3-compatible bucket, with AWS' default chain of credentials. Nothing but the list is read.
 *
 * @param endpoint URL of a server other than AWS
 */
export async function* s3Objects(
  { location, bucket, prefix }: Place,
  endpoint: string | undefined,
): AsyncGenerator<StoredObject> {
  try {
    const client = new S3Client({
      maxAttempts: ATTEMPTS,
      ...regionOf(process.env),
      ...(endpoint === undefined ? {} : elsewhere(endpoint, bucket)),
    });
    for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: prefix })) {
      for (const { Key: name, Size: size } of page.Contents ?? []) {
        if (name !== undefined && size !== undefined) yield { name, size };
      }
    }
  } catch (error) {
    const reason = reasonOf(error);
    const advice = NO_REGION.test(reason) ? `. ${REGION_ADVICE}` : "";
    throw new Error(`Can't list ${location}: ${reason}${advice}`);
  }
}

/**
 * Where to ask servers other than AWS, and how. Most have no host name for each bucket, some (Alibaba's OSS) nothing else:
 * an endpoint that begins with the bucket's name is its host.
 */
function elsewhere(endpoint: string, bucket: string) {
  const url = new URL(endpoint);
  const isBucketsHost = url.host.startsWith(`${bucket}.`);
  if (isBucketsHost) url.host = url.host.slice(bucket.length + 1);
  return { endpoint: url.href, forcePathStyle: !isBucketsHost, region: ELSEWHERE, ...regionOf(process.env) };
}

/** AWS' client for JavaScript knows the first variable alone, AWS' own command both; otherwise the profile's counts. */
function regionOf({ AWS_REGION, AWS_DEFAULT_REGION }: NodeJS.ProcessEnv): { region?: string } {
  const region = AWS_REGION || AWS_DEFAULT_REGION;
  return region ? { region } : {};
}
