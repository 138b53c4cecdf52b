import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Blob } from "./blobs.ts";
import { whenAllIsOver } from "./command.ts";

const S3RVER = join(dirname(createRequire(import.meta.url).resolve("s3rver/package.json")), "bin/s3rver.js");
const UPLOADS_AT_A_TIME = 32;

/** The only credentials that it takes. */
export const S3_CREDENTIALS = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" };

/**
 * An S3-compatible server in a process of its own, with one bucket.
 *
 * @returns its URL
 */
export async function s3Server(directory: string, bucket: string): Promise<string> {
  const server = spawn(process.execPath, [
    // Its continuation tokens are made with a cipher that OpenSSL 3 keeps for old programs.
    "--openssl-legacy-provider",
    S3RVER,
    ...["--directory", directory, "--address", "127.0.0.1", "--port", "0", "--silent"],
    ...["--configure-bucket", bucket],
  ]);
  whenAllIsOver(() => server.kill());
  const port = await new Promise<string>((resolve, reject) => {
    server.stdout.on("data", (data) => {
      const [, port] = /listening on \S+:(\d+)/.exec(String(data)) ?? [];
      if (port !== undefined) resolve(port);
    });
    server.on("exit", () => reject(new Error("the S3 server has ended")));
  });
  return `http://127.0.0.1:${port}`;
}

/** @param root of the bucket, with its URL */
export async function upload(root: string, blobs: readonly Pick<Blob, "name" | "content">[]): Promise<void> {
  const left = [...blobs];
  const uploadSome = async () => {
    for (let blob = left.pop(); blob; blob = left.pop()) {
      const response = await fetch(`${root}/${blob.name}`, { method: "PUT", body: blob.content });
      if (!response.ok) throw new Error(await response.text());
    }
  };
  await Promise.all(Array.from({ length: UPLOADS_AT_A_TIME }, uploadSome));
}
