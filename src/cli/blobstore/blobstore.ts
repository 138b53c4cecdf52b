import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { sha1OfBlob } from "../../blob-name.ts";
import { type ResourceKey, resourceKey } from "../../resource-key.ts";
import { Exit, reasonOf } from "../exit.ts";
import { counted } from "../output.ts";
import { userDirectory } from "../user-directory.ts";
import { directoryObjects } from "./directory.ts";

/** Something in a blobstore, which may be a blob of the resource pool. */
export interface StoredObject {
  /** The whole path, with `/`. */
  name: string;
  /** Bytes. */
  size: number;
}

/** What was not taken of a blobstore. */
export interface Passed {
  /** Objects that are no blobs of a resource pool. */
  skipped: number;
  /** Objects that could not be read; each has been named on stderr. */
  leftOut: number;
}

/**
 * The resources in a blobstore.
 *
 * @param location a directory, or `s3://bucket/prefix`
 * @param endpoint of an S3-compatible server; without it, AWS
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
  if (location.startsWith("s3://")) {
    const { s3Objects } = await import("./s3.ts");
    return s3Objects(location, endpoint);
  }
  if (/^\w+:\/\//.test(location)) {
    throw new Exit("wrong-usage", `--blobstore is a directory or s3://bucket/prefix, not ${location}`);
  }
  if (endpoint !== undefined) throw new Exit("wrong-usage", "--endpoint goes with --blobstore s3://…");
  const directory = resolve(userDirectory(), location);
  const stats = await stat(directory).catch((error) => {
    throw new Exit("failed", `Can't read ${location}: ${reasonOf(error)}`);
  });
  if (!stats.isDirectory()) throw new Exit("failed", `${location} is no directory.`);
  return directoryObjects(directory, passed);
}

/** @throws Exit at the end, where nothing looks like a pool: an address that is nearly right must not seem to have worked */
async function* resources(
  objects: AsyncIterable<StoredObject>,
  location: string,
  passed: Passed,
): AsyncGenerator<ResourceKey> {
  let found = 0;
  for await (const { name, size } of objects) {
    const sha1 = sha1OfBlob(name);
    const key = sha1 === undefined ? undefined : resourceKey(sha1, size);
    if (key === undefined) {
      passed.skipped += 1;
    } else {
      found += 1;
      yield key;
    }
  }
  if (found === 0) {
    throw new Exit(
      "done-in-part",
      `Nothing below ${location} looks like a resource pool, among ${counted(passed.skipped, "file")}: ` +
        "its blobs are named app_bits_cache/ab/cd/<sha1>.",
    );
  }
}
