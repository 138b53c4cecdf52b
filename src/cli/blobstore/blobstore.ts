import { stat } from "node:fs/promises";
import { formatCount } from "../../format.ts";
import type { ResourceKey } from "../../resources/resource-key.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { untilAborted } from "../terminal/interrupt.ts";
import { redactUrl } from "../terminal/output.ts";
import { withProgress } from "../terminal/progress.ts";
import { resolveUserPath } from "../user-path.ts";
import { directoryObjects } from "./directory.ts";
import { SinglePool } from "./single-pool.ts";
import type { NotAdded, Place, StoredObject } from "./stored-object.ts";

const PLACES = "a directory, s3://bucket/prefix or azure://container/prefix";

/** Advice for blobstores that have S3's interface. */
const ADVICE: Record<string, string> = {
  gs:
    "Google Cloud Storage has S3's interface: use s3://bucket/prefix with --endpoint https://storage.googleapis.com, " +
    "AWS_REGION=auto, and an HMAC key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
  oss:
    "Alibaba's OSS has S3's interface: use s3://bucket/prefix with --endpoint " +
    "https://<bucket>.oss-<region>.aliyuncs.com, and an access key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
};

/** Sizes by SHA-1. */
export type Pool = ReadonlyMap<string, number>;

/**
 * Opens a blobstore. The objects are listed when they are read.
 *
 * @param location a directory, `s3://bucket/prefix` or `azure://container/prefix`
 * @param endpoint URL of a server other than AWS' or Azure's own
 * @param counts counted up while the objects are read
 * @throws Exit if the location or the endpoint is invalid
 */
export async function openBlobstore(
  location: string,
  endpoint: string | undefined,
  counts: NotAdded,
): Promise<AsyncIterable<StoredObject>> {
  const [, scheme] = /^(\w+):\/\//.exec(location) ?? [];
  if (scheme !== undefined && endpoint !== undefined && !/^https?:\/\/[^/]/.test(endpoint)) {
    throw new Exit("usage", `--endpoint must be an http or https URL, not ${redactUrl(endpoint)}`);
  }
  switch (scheme) {
    case "s3": {
      const { s3Objects } = await import("./s3.ts");
      return s3Objects(parsePlace(location), endpoint, counts);
    }
    case "azure": {
      const { azureObjects } = await import("./azure.ts");
      return azureObjects(parsePlace(location), endpoint, counts);
    }
    case undefined:
      if (endpoint !== undefined) {
        throw new Exit("usage", "--endpoint needs --blobstore s3://… or azure://…");
      }
      return openDirectory(location, counts);
    default: {
      const advice = ADVICE[scheme];
      const message = `--blobstore must be ${PLACES}, not ${redactUrl(location)}`;
      throw new Exit("usage", advice ? `${message}\n${advice}` : message);
    }
  }
}

async function openDirectory(location: string, counts: NotAdded): Promise<AsyncIterable<StoredObject>> {
  // An unset variable in a script must not mean the current directory.
  if (location === "") throw new Exit("usage", `--blobstore is empty. It must be ${PLACES}.`);
  const directory = resolveUserPath(location);
  const stats = await stat(directory).catch((error) => {
    throw new Exit("failed", `Can't read ${location}: ${reasonOf(error)}`);
  });
  if (!stats.isDirectory()) throw new Exit("failed", `Can't read ${location}: it is not a directory`);
  return directoryObjects(directory, location, counts);
}

function parsePlace(location: string): Place {
  const [, bucket, path = ""] = /^\w+:\/\/([^/]+)\/*(.*)$/s.exec(location) ?? [];
  if (bucket === undefined) {
    throw new Exit("usage", `--blobstore must be ${PLACES}, not ${redactUrl(location)}`);
  }
  return { location, bucket, prefix: path === "" || path.endsWith("/") ? path : `${path}/` };
}

/**
 * Reads the objects of a blobstore to the end before any is used: a second pool may be at the end.
 *
 * @throws Exit on Ctrl-C, and if there is no blob: a wrong place must not look like success
 */
export async function readPool(
  objects: AsyncIterable<StoredObject>,
  location: string,
  counts: NotAdded,
  signal: AbortSignal,
): Promise<Pool> {
  const singlePool = new SinglePool();
  const pool = new Map<string, number>();
  const state = () => ({ text: `${formatCount(pool.size, "resource")} read`, done: pool.size });
  for await (const { name, size } of withProgress(untilAborted(objects, signal), state)) {
    const sha1 = singlePool.sha1Of(name);
    if (sha1 === undefined) counts.skipped += 1;
    else pool.set(sha1, size);
  }
  if (signal.aborted) throw new Exit("interrupted", "Nothing was sent to the Worker.");
  if (pool.size > 0) return pool;
  const unreadable =
    counts.unreadable > 0 ? ` ${formatCount(counts.unreadable, "part")} of it could not be read.` : "";
  throw new Exit(
    counts.unreadable > 0 ? "failed" : "incomplete",
    `No resource pool found below ${location}, among ${formatCount(counts.skipped, "file")}.${unreadable} The blobs of ` +
      "a pool are named app_bits_cache/ab/cd/<sha1>.",
  );
}

export async function* keysOf(pool: Pool): AsyncGenerator<ResourceKey> {
  for (const [sha1, size] of pool) yield `${sha1}:${size}`;
}
