import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { formatCount } from "../../format.ts";
import { type ResourceKey, resourceKey } from "../../resources/resource-key.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { redacted } from "../terminal/redacted.ts";
import { userDirectory } from "../user-directory.ts";
import { directoryObjects } from "./directory.ts";
import { OnePool } from "./one-pool.ts";
import type { Passed, Place, StoredObject } from "./stored-object.ts";

const PLACES = "a directory, s3://bucket/prefix or azure://container/prefix";

/** Of blobstores that are reached another way. */
const ADVICE: Record<string, string> = {
  gs:
    "Google Cloud Storage is read as S3: s3://bucket/prefix with --endpoint https://storage.googleapis.com, " +
    "AWS_REGION=auto, and an HMAC key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
  oss:
    "Alibaba's OSS is read as S3: s3://bucket/prefix with --endpoint https://<bucket>.oss-<region>.aliyuncs.com, " +
    "and an access key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
};

/**
 * The resources in a blobstore.
 *
 * @param location a directory, `s3://bucket/prefix` or `azure://container/prefix`
 * @param endpoint of a server other than AWS' or Azure's own
 * @param passed counted up
 */
export async function blobstoreResources(
  location: string,
  endpoint: string | undefined,
  passed: Passed,
): Promise<AsyncGenerator<ResourceKey>> {
  return resources(await open(location, endpoint, passed), location, passed);
}

async function open(
  location: string,
  endpoint: string | undefined,
  passed: Passed,
): Promise<AsyncIterable<StoredObject>> {
  const [, scheme] = /^(\w+):\/\//.exec(location) ?? [];
  if (scheme !== undefined && endpoint !== undefined && !/^https?:\/\/[^/]/.test(endpoint)) {
    throw new Exit("wrong-usage", `--endpoint must be an http or https URL, not ${redacted(endpoint)}`);
  }
  switch (scheme) {
    case "s3": {
      const { s3Objects } = await import("./s3.ts");
      return s3Objects(placeOf(location), endpoint);
    }
    case "azure": {
      const { azureObjects } = await import("./azure.ts");
      return azureObjects(placeOf(location), endpoint);
    }
    case undefined:
      if (endpoint !== undefined) {
        throw new Exit("wrong-usage", "--endpoint goes with --blobstore s3://… or azure://…");
      }
      return openDirectory(location, passed);
    default:
      throw new Exit(
        "wrong-usage",
        `--blobstore is ${PLACES}, not ${redacted(location)}${ADVICE[scheme] ? `\n${ADVICE[scheme]}` : ""}`,
      );
  }
}

async function openDirectory(location: string, passed: Passed): Promise<AsyncIterable<StoredObject>> {
  // A variable that is empty must not name the directory that a job happens to run in.
  if (location === "") throw new Exit("wrong-usage", `--blobstore is ${PLACES}, and not empty.`);
  const directory = resolve(userDirectory(), location);
  const stats = await stat(directory).catch((error) => {
    throw new Exit("failed", `Can't read ${location}: ${reasonOf(error)}`);
  });
  if (!stats.isDirectory()) throw new Exit("failed", `${location} is no directory.`);
  return directoryObjects(directory, location, passed);
}

function placeOf(location: string): Place {
  const [, bucket, path = ""] = /^\w+:\/\/([^/]+)\/*(.*)$/s.exec(location) ?? [];
  if (bucket === undefined) {
    throw new Exit("wrong-usage", `--blobstore is ${PLACES}, not ${redacted(location)}`);
  }
  return { location, bucket, prefix: path === "" || path.endsWith("/") ? path : `${path}/` };
}

/**
 * @throws Exit at the end, where nothing looks like a pool: an address that is nearly right must not seem to have worked
 * @throws TwoPools
 */
async function* resources(
  objects: AsyncIterable<StoredObject>,
  location: string,
  passed: Passed,
): AsyncGenerator<ResourceKey> {
  const pool = new OnePool();
  let found = 0;
  for await (const { name, size } of objects) {
    const sha1 = pool.sha1Of(name);
    const key = sha1 === undefined ? undefined : resourceKey(sha1, size);
    if (key === undefined) {
      passed.skipped += 1;
    } else {
      found += 1;
      yield key;
    }
  }
  if (found === 0) throw noPool(`Nothing below ${location}`, passed.skipped);
}

function noPool(where: string, skipped: number): Exit {
  return new Exit(
    "done-in-part",
    `${where} looks like a resource pool, among ${formatCount(skipped, "file")}: ` +
      "its blobs are named app_bits_cache/ab/cd/<sha1>.",
  );
}
