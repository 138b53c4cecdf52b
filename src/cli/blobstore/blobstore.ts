import { stat } from "node:fs/promises";
import { formatCount } from "../../format.ts";
import { type ResourceKey, resourceKey } from "../../resources/resource-key.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { redactUrl } from "../terminal/output.ts";
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

/**
 * Opens a blobstore, and yields its resources.
 *
 * @param location a directory, `s3://bucket/prefix` or `azure://container/prefix`
 * @param endpoint URL of a server other than AWS' or Azure's own
 * @param counts counted up while it is read
 * @throws Exit at the end if there is no blob: a wrong place must not look like success
 * @throws SecondPoolError
 */
export async function openBlobstore(
  location: string,
  endpoint: string | undefined,
  counts: NotAdded,
): Promise<AsyncGenerator<ResourceKey>> {
  return resources(await open(location, endpoint, counts), location, counts);
}

async function open(
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
      return s3Objects(parsePlace(location), endpoint);
    }
    case "azure": {
      const { azureObjects } = await import("./azure.ts");
      return azureObjects(parsePlace(location), endpoint);
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

async function* resources(
  objects: AsyncIterable<StoredObject>,
  location: string,
  counts: NotAdded,
): AsyncGenerator<ResourceKey> {
  const pool = new SinglePool();
  let found = 0;
  for await (const { name, size } of objects) {
    const sha1 = pool.sha1Of(name);
    const key = sha1 === undefined ? undefined : resourceKey(sha1, size);
    if (key === undefined) {
      counts.skipped += 1;
    } else {
      found += 1;
      yield key;
    }
  }
  if (found > 0) return;
  throw new Exit(
    "incomplete",
    `No resource pool found below ${location}, among ${formatCount(counts.skipped, "file")}. The blobs of a pool are ` +
      "named app_bits_cache/ab/cd/<sha1>.",
  );
}
