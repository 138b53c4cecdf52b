import { mkdirSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeApp } from "../app.ts";
import { AZURE_CREDENTIALS, AZURE_PAGE, azureServer } from "../azure-server.ts";
import { type Blob, makeBlobs, makeNames, writeBlobs } from "../blobs.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { startServer } from "../endpoint.ts";
import { startFakeCache, TOKEN } from "../fake-cache.ts";
import { importOf } from "../import-of.ts";
import { S3_CREDENTIALS, S3_PAGE, s3Listing, s3Server } from "../s3-server.ts";

// The tests must not depend on the settings of the machine.
for (const name of ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"]) delete process.env[name];
for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) process.env[name] = "/dev/null";

const OTHER_FILES = {
  "readme.txt": "not a blob",
  // In the directories of another SHA-1.
  "app_bits_cache/aa/bb/da39a3ee5e6b4b0d3255bfef95601890afd80709": "elsewhere",
  // Truncated, in upper case, without directories, in another part of the blobstore.
  "app_bits_cache/da/39/da39a3ee5e6b4b0d3255bfef95601890afd8070": "short",
  "app_bits_cache/DA/39/DA39A3EE5E6B4B0D3255BFEF95601890AFD80709": "upper case",
  "app_bits_cache/da39a3ee5e6b4b0d3255bfef95601890afd80709": "no directories",
  "cc-packages/da/39/da39a3ee5e6b4b0d3255bfef95601890afd80709": "elsewhere",
};

test.concurrent("adds the blobs of a directory, follows links, and skips other files", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  const blobs = makeNames(200);
  const blobstore = join(directory, "blobstore");
  writeBlobs(join(directory, "disk"), blobs);
  await writeApp(blobstore, OTHER_FILES);
  await symlink("../disk", join(blobstore, "cc-resources"));
  const sync = ["sync", "--blobstore", "blobstore", ...cache.urlOption];

  const first = await resourcePool(sync, { cwd: directory, env: cache.env });
  expect(first).toEqual({
    code: 0,
    stdout: "200 resources added, 0 already present, 6 skipped, 0 unreadable\n",
    stderr: "",
  });
  expect(cache.present).toEqual(new Set(blobs.map(({ key }) => key)));

  // Observed before the directory was read, by the Worker's own clock.
  expect(cache.received[0]?.asOf).toBeLessThanOrEqual(cache.statusRequestedAt[0] ?? 0);
});

test.concurrent("accepts the pool's own directory, and exits with 3 for a directory without a pool", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  const blobs = makeBlobs(20);
  writeBlobs(join(directory, "pool"), blobs);
  await writeApp(join(directory, "wrong"), OTHER_FILES);
  const sync = (place: string) =>
    resourcePoolInThread(["sync", "--blobstore", place, ...cache.urlOption], {
      cwd: directory,
      env: cache.env,
    });

  expect((await sync("pool/app_bits_cache")).code).toBe(0);
  expect(cache.present).toEqual(new Set(blobs.map(({ key }) => key)));
  const wrong = await sync("wrong");
  expect(wrong).toMatchObject({ code: 3, stdout: "" });
  expect(wrong.stderr).toBe(
    "No resource pool found below wrong, among 6 files. The blobs of a pool are named app_bits_cache/ab/cd/<sha1>.\n",
  );
});

test.concurrent("refuses a place with two pools before anything is sent to the Worker, and names both", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  const [one, other] = makeBlobs(2) as [Blob, Blob];
  cache.present.add(makeBlobs(3)[2]?.key ?? "");
  writeBlobs(join(directory, "cc-resources"), [one]);
  writeBlobs(join(directory, "old/cc-resources"), [other]);
  for (const args of [[], ["--prune", "--yes"]]) {
    const sync = ["sync", "--blobstore", directory, ...args, ...cache.urlOption];
    const outcome = await resourcePoolInThread(sync, { env: cache.env });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toContain(`${directory}/cc-resources/`);
    expect(outcome.stderr).toContain(`${directory}/old/cc-resources/`);
  }
  expect(cache.received).toEqual([]);
});

test.concurrent("names broken and circular links, and prunes nothing", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  writeBlobs(directory, makeBlobs(1));
  await symlink("not-mounted", join(directory, "more"));
  await symlink(".", join(directory, "again"));
  const sync = ["sync", "--blobstore", directory, ...cache.urlOption];
  const pruned = await resourcePoolInThread([...sync, "--prune"], { env: cache.env });
  expect(pruned).toMatchObject({ code: 1, stdout: "" });
  expect(pruned.stderr).toMatch(/^Can't read .*\/more: it does not exist$/m);
  expect(pruned.stderr).toMatch(/^Can't read .*\/again: it links to a directory above itself$/m);
  expect(pruned.stderr).toMatch(/^Refused: can't read 2 parts of the blobstore\./m);
  expect(cache.received).toEqual([]);
  expect(await resourcePoolInThread(sync, { env: cache.env })).toMatchObject({ code: 3 });
  expect(cache.present.size).toBe(1);
});

/** Blobs below a prefix, with a file that is not a blob, and a blob below another prefix that begins in the same way. */
function inBlobstore(blobs: readonly Blob[]) {
  return [
    ...blobs.map((blob) => ({ ...blob, name: `cc-resources/${blob.name}` })),
    { name: "cc-resources/readme.txt", content: "not a blob" },
    { name: `cc-resources-of-others/${makeNames(9_999).at(-1)?.name}`, content: "another's" },
  ];
}

test.concurrent("adds the blobs of an S3-compatible bucket, page by page, below the prefix", async () => {
  const cache = await startFakeCache();
  const blobs = makeNames(2 * S3_PAGE + 10);
  const endpoint = await s3Server(await temporaryDirectory(), "pool", inBlobstore(blobs));

  const outcome = await resourcePool(
    ["sync", "--blobstore", "s3://pool/cc-resources", "--endpoint", endpoint, ...cache.urlOption],
    { env: { ...cache.env, ...S3_CREDENTIALS } },
  );

  expect(outcome).toMatchObject({
    code: 0,
    stdout: `${blobs.length} resources added, 0 already present, 1 skipped, 0 unreadable\n`,
  });
  expect(cache.present).toEqual(new Set(blobs.map(({ key }) => key)));
});

test.concurrent("adds the blobs of an Azure container, page by page, below the prefix", async () => {
  const cache = await startFakeCache();
  const blobs = makeNames(2 * AZURE_PAGE + 10);
  const endpoint = await azureServer(await temporaryDirectory(), "pool", inBlobstore(blobs));
  const sync = ["sync", "--blobstore", "azure://pool/cc-resources", ...cache.urlOption];
  const { AZURE_STORAGE_ACCOUNT: account, AZURE_STORAGE_KEY: key } = AZURE_CREDENTIALS;
  const connection = `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${key};BlobEndpoint=${endpoint};`;

  const outcome = await resourcePool([...sync, "--endpoint", endpoint], {
    env: { ...cache.env, ...AZURE_CREDENTIALS },
  });
  expect(outcome).toMatchObject({
    code: 0,
    stdout: `${blobs.length} resources added, 0 already present, 1 skipped, 0 unreadable\n`,
  });
  expect(cache.present).toEqual(new Set(blobs.map(({ key }) => key)));

  const again = await resourcePoolInThread([...sync, "--json"], {
    env: { ...cache.env, AZURE_STORAGE_CONNECTION_STRING: connection },
  });
  expect(JSON.parse(again.stdout)).toMatchObject({ added: 0, alreadyPresent: blobs.length });

  const refused = await resourcePoolInThread([...sync, "--endpoint", endpoint], {
    env: { ...cache.env, AZURE_STORAGE_ACCOUNT: account, AZURE_STORAGE_SAS_TOKEN: "?sig=none" },
  });
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/^Can't list azure:\/\/pool\/cc-resources: /);
  // Azurite takes some seconds to start on a busy machine.
}, 120_000);

test.concurrent("addresses a bucket by host name if the endpoint begins with its name, otherwise by path", async () => {
  const cache = await startFakeCache();
  const [blob] = makeBlobs(1) as [Blob];
  const requests: string[] = [];
  const server = await startServer(({ url, headers }, response) => {
    const [, region] = /Credential=[^/]*\/\d+\/([^/]*)\//.exec(headers.authorization ?? "") ?? [];
    requests.push(`${headers.host?.split(":")[0]} ${url?.split("?")[0]} ${region}`);
    response.writeHead(200, { "Content-Type": "application/xml" }).end(s3Listing([blob], false));
  });
  // Not every resolver resolves names below localhost.
  const resolver = `import dns from "node:dns"; const { lookup } = dns;
    dns.lookup = (name, ...rest) => lookup(name.endsWith(".localhost") ? "127.0.0.1" : name, ...rest);`;
  const env = {
    ...cache.env,
    ...S3_CREDENTIALS,
    AWS_DEFAULT_REGION: "eu-test-1",
    NODE_OPTIONS: `--import ${importOf(resolver)}`,
  };
  const { port } = new URL(server);
  for (const host of ["pool.localhost", "localhost"]) {
    const endpoint = `http://${host}:${port}`;
    const sync = ["sync", "--blobstore", "s3://pool", "--endpoint", endpoint, ...cache.urlOption];
    expect(await resourcePool(sync, { env })).toMatchObject({ code: 0 });
  }
  expect(requests).toEqual(["pool.localhost / eu-test-1", "localhost /pool/ eu-test-1"]);
});

test.concurrent("prunes nothing when a listing fails in the middle, and sends nothing to the Worker", async () => {
  const [cache, blobs] = [await startFakeCache(), makeNames(20)];
  const endpoint = await startServer((request, response) => {
    const isSecondPage = request.url?.includes("continuation-token=") === true;
    response.writeHead(isSecondPage ? 403 : 200, { "Content-Type": "application/xml" });
    response.end(isSecondPage ? "<Error><Code>AccessDenied</Code></Error>" : s3Listing(blobs, true));
  });
  const command = ["sync", "--prune", "--blobstore", "s3://pool", "--endpoint", endpoint, ...cache.urlOption];
  const outcome = await resourcePoolInThread(command, { env: { ...cache.env, ...S3_CREDENTIALS } });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/^Can't list s3:\/\/pool: /);

  const directory = await temporaryDirectory();
  writeBlobs(directory, blobs);
  const deep = join(directory, "deep");
  mkdirSync(deep);
  const failingAt = (path: string, code: string) =>
    resourcePool(["sync", "--prune", "--blobstore", directory, ...cache.urlOption], {
      env: { ...cache.env, NODE_OPTIONS: `--import ${failing("readdir", path, code)}` },
    });
  // A disk that is damaged, and one that is unmounted while it is read.
  for (const code of ["EIO", "ENOENT"]) {
    const cut = await failingAt(deep, code);
    expect(cut).toMatchObject({ code: 1, stdout: "" });
    expect(cut.stderr).toMatch(/Refused: can't read 1 part of the blobstore/);
  }
  const closed = await failingAt(directory, "EACCES");
  expect(closed).toMatchObject({
    code: 1,
    stdout: "",
    stderr: `Can't read ${directory}: EACCES: injected by the test\n`,
  });
  expect(cache.received).toEqual([]);
});

/** Makes a function of `fs/promises` fail for a path. */
function failing(name: string, path: string, code: string): string {
  const module = `import fs from "node:fs/promises"; import { syncBuiltinESMExports } from "node:module";
    const real = fs.${name};
    fs.${name} = (path, ...rest) => path === ${JSON.stringify(path)}
      ? Promise.reject(Object.assign(new Error("${code}: injected by the test"), { code: "${code}" })) : real(path, ...rest);
    syncBuiltinESMExports();`;
  return importOf(module);
}

test.concurrent("ends a sync on Ctrl-C when the bucket no longer responds, and completes it in the next run", async () => {
  const cache = await startFakeCache();
  const blobs = makeBlobs(200);
  let isStuck = true;
  let stuck = () => {};
  const endpoint = await startServer((request, response) => {
    const isSecondPage = request.url?.includes("continuation-token=") === true;
    if (isSecondPage && isStuck) return stuck();
    const page = isSecondPage ? blobs.slice(150) : blobs.slice(0, 150);
    response.writeHead(200, { "Content-Type": "application/xml" }).end(s3Listing(page, !isSecondPage));
  });
  const command = ["sync", "--json", "--blobstore", "s3://pool", "--endpoint", endpoint, ...cache.urlOption];
  const env = { ...cache.env, ...S3_CREDENTIALS };

  const first = await resourcePool(command, {
    env,
    onStart: (child) => {
      stuck = () => child.kill("SIGINT");
    },
  });
  expect(first.code).toBe(130);
  expect(JSON.parse(first.stdout)).toMatchObject({ added: 0, interrupted: true });

  isStuck = false;
  const second = await resourcePoolInThread(command, { env });
  expect(second.code).toBe(0);
  expect(JSON.parse(second.stdout)).toMatchObject({ added: 200, alreadyPresent: 0, interrupted: false });
  expect(cache.present).toEqual(new Set(blobs.map(({ key }) => key)));
});

test.concurrent.each([
  ["no blobstore", [], 2, /required option '--blobstore <place>' not specified/],
  [
    "an endpoint for a directory",
    ["--blobstore", ".", "--endpoint", "http://a"],
    2,
    /--endpoint needs --blobstore s3/,
  ],
  ["another scheme", ["--blobstore", "gs://bucket"], 2, /not gs:.*\nGoogle Cloud Storage has S3's interface/],
  ["an empty variable", ["--blobstore", ""], 2, /^--blobstore is empty\. It must be a directory, .*\.$/m],
  [
    "no bucket",
    ["--blobstore", "s3://"],
    2,
    /must be a directory, s3:\/\/bucket\/prefix or azure:.*, not s3/,
  ],
  [
    "an endpoint that is not a URL",
    ["--blobstore", "s3://b", "--endpoint", "a"],
    2,
    /must be an http or https URL/,
  ],
  [
    "an endpoint with a password, which is not shown",
    ["--blobstore", "s3://b", "--endpoint", "ftp://me:hush@a/?sig=hush"],
    2,
    /^--endpoint must be an http or https URL, not ftp:\/\/\*\*\*@a\/\?\*\*\*\n$/,
  ],
  [
    "azure:// without an account",
    ["--blobstore", "azure://b"],
    2,
    /Set .* AZURE_STORAGE_CONNECTION_STRING, or/,
  ],
  ["--yes without --prune", ["--blobstore", ".", "--yes"], 2, /--yes needs --prune/],
  [
    "an unreachable bucket",
    ["--blobstore", "s3://b", "--endpoint", "http://127.0.0.1:9"],
    1,
    /Can't list s3:\/\/b: .*ECONNREFUSED/,
  ],
  [
    "a bucket without a region",
    ["--blobstore", "s3://b"],
    1,
    /Can't list s3:\/\/b: Region is missing\. Set AWS_REGION .* \(R2, MinIO, …\), use --endpoint\.\n$/,
  ],
  ["a missing directory", ["--blobstore", "nowhere"], 1, /Can't read nowhere/],
])("refuses %s on stderr, with the exit code", async (_, args, code, message) => {
  const cwd = await temporaryDirectory();
  const outcome = await resourcePoolInThread(["sync", ...(await startFakeCache()).urlOption, ...args], {
    cwd,
    env: { ...S3_CREDENTIALS, CF_TOKEN: TOKEN },
  });
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
