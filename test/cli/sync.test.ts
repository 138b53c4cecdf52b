import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeApp } from "./app.ts";
import { type Blob, makeBlobs, writeBlobs } from "./blobs.ts";
import { cloudflareApi, NAMESPACE } from "./cloudflare-api.ts";
import { resourcePool, temporaryDirectory, temporaryProject } from "./command.ts";
import { serve } from "./endpoint.ts";
import { localKeys } from "./local-cache.ts";
import { S3_CREDENTIALS, s3Server, upload } from "./s3-server.ts";

const NO_BLOBS = {
  "readme.txt": "no blob",
  // The directories are not those of the name.
  "aa/bb/da39a3ee5e6b4b0d3255bfef95601890afd80709": "elsewhere",
  // Cut off, upper case, without its directories.
  "da/39/da39a3ee5e6b4b0d3255bfef95601890afd8070": "short",
  "DA/39/DA39A3EE5E6B4B0D3255BFEF95601890AFD80709": "upper case",
  da39a3ee5e6b4b0d3255bfef95601890afd80709: "no directories",
};

test.concurrent("a blobstore directory of 20,000 blobs is read whole, and what is no blob is skipped", async () => {
  const { config, directory } = await temporaryProject();
  const blobs = makeBlobs(20_000);
  const blobstore = join(directory, "blobstore");
  writeBlobs(join(blobstore, "cc-resources"), blobs);
  await writeApp(blobstore, NO_BLOBS);
  await symlink(join(blobstore, blobs[0]?.name.slice(0, 2) ?? ""), join(blobstore, "link"));
  const sync = ["sync", "--json", "--config", config, "--blobstore"];

  const dry = await resourcePool([...sync, blobstore, "--dry-run"]);
  expect(dry.code).toBe(0);
  expect(JSON.parse(dry.stdout)).toEqual({
    added: 20_000,
    alreadyThere: 0,
    skipped: 6,
    leftOut: 0,
    dryRun: true,
    interrupted: false,
  });
});

test.concurrent("what a sync of a directory says it added is in the local cache, and there the second time", async () => {
  const { config, directory } = await temporaryProject({ KEY_PREFIX: "cf/" });
  const blobs = makeBlobs(250);
  writeBlobs(join(directory, "pool/x"), blobs);
  const sync = ["sync", "--blobstore", "pool", "--config", config];

  const first = await resourcePool(sync, { cwd: directory });
  expect(first).toMatchObject({
    code: 0,
    stdout: "250 resources added, 0 already there, 0 skipped, 0 left out\n",
  });
  expect(Object.keys(await localKeys(directory)).sort()).toEqual(blobs.map(({ key }) => `cf/${key}`).sort());

  const second = await resourcePool(sync, { cwd: directory });
  expect(second.stdout).toBe("0 resources added, 250 already there, 0 skipped, 0 left out\n");
});

test.concurrent("a bucket of an S3-compatible server is listed page by page, with its prefix", async () => {
  const { config } = await temporaryProject({}, `id = "${NAMESPACE}"`);
  const { keys, env } = await cloudflareApi();
  const endpoint = await s3Server(await temporaryDirectory(), "pool");
  const blobs = makeBlobs(2_050);
  const named = blobs.map((blob) => ({ ...blob, name: `cc-resources/${blob.name}` }));
  await upload(`${endpoint}/pool`, [
    ...named,
    { name: "cc-resources/readme.txt", content: "no blob" },
    { name: `cc-resources-of-others/${makeBlobs(2_051).at(-1)?.name}`, content: "another's" },
  ]);

  const outcome = await resourcePool(
    ["sync", "--remote", "--config", config, "--blobstore", "s3://pool/cc-resources", "--endpoint", endpoint],
    { env: { ...env, ...S3_CREDENTIALS } },
  );

  expect(outcome).toMatchObject({
    code: 0,
    stdout: "2,050 resources added, 0 already there, 1 skipped, 0 left out\n",
  });
  expect([...keys.keys()].sort()).toEqual(blobs.map(({ key }) => key).sort());
});

test.concurrent("a Ctrl-C ends a sync into the local cache even if the bucket no longer answers; then it goes on", async () => {
  const { config, directory } = await temporaryProject();
  const blobs = makeBlobs(200);
  let isStuck = true;
  let stuck = () => {};
  const endpoint = await serve((request, response) => {
    const isSecondPage = request.url?.includes("continuation-token=") === true;
    // The second page is only asked for after the first batch has landed.
    if (isSecondPage && isStuck) return stuck();
    const page = isSecondPage ? blobs.slice(150) : blobs.slice(0, 150);
    response.writeHead(200, { "Content-Type": "application/xml" }).end(listing(page, !isSecondPage));
  });
  const command = ["sync", "--json", "--config", config, "--blobstore", "s3://pool", "--endpoint", endpoint];

  const first = await resourcePool(command, {
    env: S3_CREDENTIALS,
    // As a terminal does: the local KV's process gets it too.
    ownGroup: true,
    onStart: (child) => {
      stuck = () => process.kill(-(child.pid ?? 0), "SIGINT");
    },
  });
  expect(first.code).toBe(130);
  expect(JSON.parse(first.stdout)).toMatchObject({ added: 100, interrupted: true });
  expect(Object.keys(await localKeys(directory)).sort()).toEqual(
    blobs
      .slice(0, 100)
      .map(({ key }) => key)
      .sort(),
  );

  isStuck = false;
  const second = await resourcePool(command, { env: S3_CREDENTIALS });
  expect(second.code).toBe(0);
  expect(JSON.parse(second.stdout)).toMatchObject({ added: 100, alreadyThere: 100, interrupted: false });
  expect(Object.keys(await localKeys(directory)).sort()).toEqual(blobs.map(({ key }) => key).sort());
});

test.concurrent.each([
  ["no blobstore", [], 2, /required option '--blobstore <place>' not specified/],
  [
    "an endpoint for a directory",
    ["--blobstore", ".", "--endpoint", "http://a"],
    2,
    /--endpoint goes with --blobstore s3/,
  ],
  ["another scheme", ["--blobstore", "gs://bucket"], 2, /is a directory or s3:\/\/bucket\/prefix/],
  ["no bucket", ["--blobstore", "s3://"], 2, /Not of the form s3:\/\/bucket\/prefix/],
  [
    "a bucket out of reach",
    ["--blobstore", "s3://b", "--endpoint", "http://127.0.0.1:9", "--remote", "--namespace-id", "x"],
    1,
    /Can't list s3:\/\/b: .*ECONNREFUSED/,
  ],
  ["a missing directory", ["--blobstore", "nowhere"], 1, /Can't read nowhere/],
])("%s: said on stderr, with the exit code", async (_, args, code, message) => {
  const cwd = await temporaryDirectory();
  const outcome = await resourcePool(["sync", ...args], {
    cwd,
    env: { ...S3_CREDENTIALS, CLOUDFLARE_ACCOUNT_ID: "x", CLOUDFLARE_API_TOKEN: "x" },
  });
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});

/** A page of S3's ListObjectsV2. */
function listing(blobs: readonly Blob[], isTruncated: boolean): string {
  const contents = blobs.map(
    ({ name, content }) => `<Contents><Key>${name}</Key><Size>${content.length}</Size></Contents>`,
  );
  const next = isTruncated ? "<NextContinuationToken>next</NextContinuationToken>" : "";
  return `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>${isTruncated}</IsTruncated>${next}${contents.join("")}</ListBucketResult>`;
}
