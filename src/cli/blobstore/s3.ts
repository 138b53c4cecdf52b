import { paginateListObjectsV2, S3Client } from "@aws-sdk/client-s3";
import { Exit, reasonOf } from "../exit.ts";
import type { StoredObject } from "./blobstore.ts";

const ATTEMPTS = 5;

/**
 * The objects of an S3-compatible bucket, with AWS' default chain of credentials. Nothing but the list is read.
 *
 * @param location `s3://bucket/prefix`
 * @param endpoint URL of a server other than AWS
 */
export function s3Objects(location: string, endpoint: string | undefined): AsyncIterable<StoredObject> {
  const { bucket, prefix } = parse(location);
  if (endpoint !== undefined && !URL.canParse(endpoint)) {
    throw new Exit("wrong-usage", `--endpoint must be a URL, not ${endpoint}`);
  }
  const client = new S3Client({
    maxAttempts: ATTEMPTS,
    ...(endpoint === undefined
      ? {}
      : {
          endpoint,
          // Servers other than AWS have no host name for each bucket, and take this region for theirs.
          forcePathStyle: true,
          region: process.env.AWS_REGION ?? "us-east-1",
        }),
  });
  return objects(client, bucket, prefix, location);
}

async function* objects(
  client: S3Client,
  bucket: string,
  prefix: string,
  location: string,
): AsyncGenerator<StoredObject> {
  try {
    for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: prefix })) {
      for (const { Key: name, Size: size } of page.Contents ?? []) {
        if (name !== undefined && size !== undefined) yield { name, size };
      }
    }
  } catch (error) {
    throw new Error(`Can't list ${location}: ${reasonOf(error)}`);
  }
}

function parse(location: string): { bucket: string; prefix: string } {
  const [, bucket, path = ""] = /^s3:\/\/([^/]+)\/*(.*)$/s.exec(location) ?? [];
  if (bucket === undefined) throw new Exit("wrong-usage", `Not of the form s3://bucket/prefix: ${location}`);
  return { bucket, prefix: path === "" || path.endsWith("/") ? path : `${path}/` };
}
