import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type Blob, writeBlobs } from "./blobs.ts";
import { afterTests } from "./command.ts";
import { importOf } from "./import-of.ts";

const S3RVER = dirname(createRequire(import.meta.url).resolve("s3rver/package.json"));
const STORE = join(S3RVER, "lib/stores/filesystem.js");

/** Objects per page. The real server has 1,000; tests need two pages with fewer objects. */
export const S3_PAGE = 20;
const SMALL_PAGES = `import { createRequire } from "node:module";
  const store = createRequire(${JSON.stringify(STORE)})(${JSON.stringify(STORE)}).prototype;
  const { listObjects } = store;
  store.listObjects = function (bucket, options) {
    return listObjects.call(this, bucket, { ...options, maxKeys: Math.min(${S3_PAGE}, options.maxKeys) });
  };`;

/** The only valid credentials. */
export const S3_CREDENTIALS = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" };

/**
 * Starts an S3-compatible server in a process, with one bucket. The objects are written in the server's own format, which
 * is faster than uploads. It lists `S3_PAGE` objects at a time.
 *
 * @returns its URL
 */
export async function s3Server(
  directory: string,
  bucket: string,
  objects: readonly Pick<Blob, "name" | "content">[],
): Promise<string> {
  mkdirSync(join(directory, bucket));
  writeBlobs(
    join(directory, bucket),
    objects.flatMap(({ name, content }) => [
      { name: `${name}._S3rver_object`, content },
      { name: `${name}._S3rver_object.md5`, content: "0".repeat(32) },
    ]),
  );
  const server = spawn(process.execPath, [
    // Its continuation tokens use a legacy cipher of OpenSSL.
    "--openssl-legacy-provider",
    "--import",
    importOf(SMALL_PAGES),
    join(S3RVER, "bin/s3rver.js"),
    "--directory",
    directory,
    "--address",
    "127.0.0.1",
    "--port",
    "0",
    "--silent",
  ]);
  afterTests(() => server.kill());
  const port = await new Promise<string>((resolve, reject) => {
    server.stdout.on("data", (data) => {
      const [, port] = /listening on \S+:(\d+)/.exec(String(data)) ?? [];
      if (port !== undefined) resolve(port);
    });
    server.on("exit", () => reject(new Error("the S3 server has ended")));
  });
  return `http://127.0.0.1:${port}`;
}

/** A page of S3's ListObjectsV2. @param next the token for the next page; without it, there is none */
export function s3Listing(
  blobs: readonly Pick<Blob, "name" | "content">[],
  isTruncated: boolean,
  next = isTruncated ? "next" : undefined,
): string {
  const contents = blobs.map(
    ({ name, content }) => `<Contents><Key>${name}</Key><Size>${content.length}</Size></Contents>`,
  );
  const token = next === undefined ? "" : `<NextContinuationToken>${next}</NextContinuationToken>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>${isTruncated}</IsTruncated><KeyCount>${blobs.length}</KeyCount>${token}${contents.join("")}</ListBucketResult>`;
}
