import { renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { AZURE_CREDENTIALS, azureListing } from "../azure-server.ts";
import { type Blob, makeNames, writeBlobs } from "../blobs.ts";
import { type Outcome, resourcePool, resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { startServer } from "../endpoint.ts";
import { startFakeCache } from "../fake-cache.ts";
import { importOf } from "../import-of.ts";
import { S3_CREDENTIALS, s3Listing } from "../s3-server.ts";

// The tests must not depend on the settings of the machine.
for (const name of ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"]) delete process.env[name];
for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) process.env[name] = "/dev/null";

const BLOBS = makeNames(30);
const OTHER = makeNames(31).at(-1) as Blob;
const [FIRST, SECOND, THIRD] = [BLOBS.slice(0, 10), BLOBS.slice(10, 20), BLOBS.slice(20)];

/** Serves pages in the order of the requests; the last one is repeated. A number is the status of an error. */
function startListing(pages: readonly (string | number)[]): Promise<string> {
  let requests = 0;
  return startServer((_, response) => {
    const page = pages[Math.min(requests, pages.length - 1)] ?? "";
    requests += 1;
    response.writeHead(typeof page === "number" ? page : 200, { "Content-Type": "application/xml" });
    response.end(typeof page === "number" ? "<Error><Code>AccessDenied</Code></Error>" : page);
  });
}

type Run = (args: readonly string[], env: Record<string, string>) => Promise<Outcome>;

/** Expects that `sync` adds what was read and exits with 3. @returns what it prints on stderr */
async function syncIncompletely(run: Run, read: readonly Blob[]): Promise<string> {
  const cache = await startFakeCache();
  const outcome = await run(["sync", ...cache.urlOption], cache.env);
  expect(outcome).toMatchObject({ code: 3 });
  expect(outcome.stdout).toMatch(
    new RegExp(`^${read.length} resources added, 0 already present, .*, \\d unreadable\n$`),
  );
  expect(cache.present).toEqual(new Set(read.map(({ key }) => key)));
  return outcome.stderr;
}

/** Expects that `sync --prune` refuses. */
async function expectNothingPruned(run: Run): Promise<void> {
  const cache = await startFakeCache();
  cache.present.add(OTHER.key);
  const outcome = await run(["sync", "--prune", "--yes", ...cache.urlOption], cache.env);
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(
    /^Refused: can't read 1 part of the blobstore\. Nothing was sent to the Worker\./m,
  );
  expect(cache.received).toEqual([]);
}

/** Runs the command with a new server, which begins with the first page. */
function runWithPages(place: string, pages: readonly (string | number)[]): Run {
  return async (args, env) =>
    resourcePoolInThread([...args, "--blobstore", place, "--endpoint", await startListing(pages)], {
      env: { ...env, ...S3_CREDENTIALS, ...AZURE_CREDENTIALS },
    });
}

const NO_TOKEN =
  /^The listing of s3:\/\/pool is incomplete\. It ended after \d+ objects: the server has more, but/;
const REPEATED =
  /^The listing of \S+ is incomplete\. It ended after \d+ objects: the server returned a page for the/;
const UNUSABLE = /^The listing of \S+ is incomplete\. Page \d has 1 object without a name or a size\.$/m;
const NO_LISTING =
  /^Can't list \w+:\/\/pool: \S+ returned 200.*\nThis is not a listing of objects\. .*\nThe listing is incomplete\./m;
const withoutSize = (page: string) => page.replace(/<(Size|Content-Length)>\d+<\/\1>/, "");

test.concurrent.each<[string, (string | number)[], readonly Blob[], RegExp]>([
  [
    "is truncated without a token",
    [s3Listing(FIRST, true, undefined).replace(/<Next.*Token>/, "")],
    FIRST,
    NO_TOKEN,
  ],
  [
    "is truncated with an empty token on its second page",
    [s3Listing(FIRST, true), s3Listing(SECOND, true, "")],
    [...FIRST, ...SECOND],
    NO_TOKEN,
  ],
  ["returns the same page and token all the time", [s3Listing(FIRST, true)], FIRST, REPEATED],
  [
    "returns the same page with other tokens",
    [s3Listing(FIRST, true, "a"), s3Listing(FIRST, true, "b"), s3Listing(SECOND, false)],
    FIRST,
    REPEATED,
  ],
  [
    "returns the same token for another page",
    [s3Listing(FIRST, true), s3Listing(SECOND, true), s3Listing(THIRD, false)],
    [...FIRST, ...SECOND],
    /the server returned the same token for the next page twice\.$/m,
  ],
  [
    "returns pages in a circle",
    ["a", "b", "c", "d"].map((token, index) => s3Listing(index % 2 ? SECOND : FIRST, true, token)),
    [...FIRST, ...SECOND],
    REPEATED,
  ],
  [
    "lacks the size of an object",
    [s3Listing(FIRST, true), withoutSize(s3Listing(SECOND, false))],
    [...FIRST, ...SECOND.slice(1)],
    UNUSABLE,
  ],
  [
    "lacks the name of an object",
    [s3Listing(FIRST, false).replace(/<Key>.*?<\/Key>/, "")],
    FIRST.slice(1),
    UNUSABLE,
  ],
  ["has a negative size", [s3Listing(FIRST, false).replace(/<Size>/, "<Size>-")], FIRST.slice(1), UNUSABLE],
  [
    "counts more objects than it returns",
    [s3Listing(FIRST, false).replace("<KeyCount>10", "<KeyCount>11")],
    FIRST,
    UNUSABLE,
  ],
  ["has an empty second page", [s3Listing(FIRST, true), ""], FIRST, NO_LISTING],
  ["has HTML as its second page", [s3Listing(FIRST, true), "<html>a proxy</html>"], FIRST, NO_LISTING],
  [
    "has a second page that is cut off",
    [s3Listing(FIRST, true), s3Listing(SECOND, false).slice(0, -30)],
    FIRST,
    /^Can't list s3:\/\/pool: \S+ returned 200 with a listing of objects that is cut off or damaged\.$/m,
  ],
  [
    "is refused on the second page",
    [s3Listing(FIRST, true), 403],
    FIRST,
    /^Can't list s3:\/\/pool: \S+ returned 403: AccessDenied\nThe listing is incomplete\. It ended after 10 objects\.$/m,
  ],
])("exits with 3 for an S3 listing that %s, after adding what was read", async (_, pages, read, message) => {
  expect(await syncIncompletely(runWithPages("s3://pool", pages), read)).toMatch(message);
});

test.concurrent.each<[string, string[], readonly Blob[], RegExp]>([
  ["returns the same page and marker all the time", [azureListing(FIRST, "a")], FIRST, REPEATED],
  [
    "returns the same marker for another page",
    [azureListing(FIRST, "a"), azureListing(SECOND, "a")],
    [...FIRST, ...SECOND],
    /the server returned the same token for the next page twice\.$/m,
  ],
  [
    "has no marker",
    [azureListing(FIRST).replace(/<NextMarker>.*<\/NextMarker>/, "")],
    FIRST,
    /: the server did not return whether there are more\.$/m,
  ],
  ["lacks the size of a blob", [withoutSize(azureListing(FIRST))], FIRST.slice(1), UNUSABLE],
  [
    "lacks the properties of a blob",
    [azureListing(FIRST).replace(/<Properties>.*?<\/Properties>/, "")],
    FIRST.slice(1),
    UNUSABLE,
  ],
  ["has an empty second page", [azureListing(FIRST, "a"), ""], FIRST, NO_LISTING],
  ["has text as its second page", [azureListing(FIRST, "a"), "no XML"], FIRST, NO_LISTING],
  ["has HTML as its second page", [azureListing(FIRST, "a"), "<html>a proxy</html>"], FIRST, NO_LISTING],
])(
  "exits with 3 for an Azure listing that %s, after adding what was read",
  async (_, pages, read, message) => {
    expect(await syncIncompletely(runWithPages("azure://pool", pages), read)).toMatch(message);
  },
);

test.concurrent.each([
  ["an S3 listing", runWithPages("s3://pool", [s3Listing(FIRST, true, "")])],
  ["a repeated S3 listing", runWithPages("s3://pool", [s3Listing(FIRST, true)])],
  ["an Azure listing", runWithPages("azure://pool", [azureListing(FIRST, "a")])],
  ["a directory", (args: readonly string[], env: Record<string, string>) => runReplacing(args, env)],
])("prunes nothing by %s that is incomplete", async (_, run) => {
  await expectNothingPruned(run);
});

test.concurrent("exits with 1 if nothing of an incomplete listing can be used, and with 3 if a complete one has no pool", async () => {
  const cache = await startFakeCache();
  cache.present.add(OTHER.key);
  const sync = async (page: string, ...options: string[]) => {
    const endpoint = await startListing([page]);
    const args = ["sync", "--blobstore", "s3://pool", "--endpoint", endpoint, ...options, ...cache.urlOption];
    return resourcePoolInThread(args, { env: { ...cache.env, ...S3_CREDENTIALS } });
  };
  const [incomplete, empty] = [s3Listing([], true, ""), s3Listing([], false)];
  for (const options of [[], ["--dry-run"], ["--prune"], ["--prune", "--yes"]]) {
    const outcome = await sync(incomplete, ...options);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(
      /^The listing of s3:.* is incomplete\. .*\nNo resource pool found below s3:\/\/pool, among 0 files\. 1 part of it could not be read\. /,
    );
    expect(await sync(empty, ...options)).toMatchObject({ code: 3, stdout: "" });
  }
  expect(cache.received).toEqual([]);
});

test.concurrent("skips objects outside the prefix, from a server that ignores it", async () => {
  const cache = await startFakeCache();
  const pool = FIRST.map((blob) => ({ ...blob, name: `mine/${blob.name}` }));
  const other = SECOND.map((blob) => ({ ...blob, name: `mine-too/${blob.name}` }));
  const endpoint = await startListing([s3Listing([...pool, ...other], false)]);
  const sync = [
    "sync",
    "--prune",
    "--blobstore",
    "s3://pool/mine",
    "--endpoint",
    endpoint,
    ...cache.urlOption,
  ];
  expect(await resourcePoolInThread(sync, { env: { ...cache.env, ...S3_CREDENTIALS } })).toMatchObject({
    code: 0,
    stdout: "10 resources added, 0 already present, 10 skipped, 0 unreadable, 0 removed, 0 added since\n",
  });
});

test.concurrent("reads a listing of empty and unordered pages completely", async () => {
  const cache = await startFakeCache();
  const pages = [
    s3Listing([], true, "a"),
    s3Listing(THIRD, true, "b"),
    s3Listing([], true, "c"),
    s3Listing(FIRST, false),
  ];
  const sync = [
    "sync",
    "--blobstore",
    "s3://pool",
    "--endpoint",
    await startListing(pages),
    ...cache.urlOption,
  ];
  expect(await resourcePoolInThread(sync, { env: { ...cache.env, ...S3_CREDENTIALS } })).toMatchObject({
    code: 0,
  });
  expect(cache.present).toEqual(new Set([...THIRD, ...FIRST].map(({ key }) => key)));
});

/**
 * Runs code after each `readdir` of a path.
 *
 * @param code may use `fs`, `path`, `count` (how often the path was read) and `entries`
 */
function aroundReaddir(at: string, code: string): string {
  return importOf(`import fs from "node:fs"; import promises from "node:fs/promises";
    import { syncBuiltinESMExports } from "node:module";
    const real = promises.readdir;
    let count = 0;
    promises.readdir = async (path, ...rest) => {
      const entries = await real(path, ...rest);
      if (path !== ${JSON.stringify(at)}) return entries;
      count += 1;
      ${code}
      return entries;
    };
    syncBuiltinESMExports();`);
}

/** Blobs in two folders. */
const DISK = BLOBS.map(({ sha1, content }, index) => {
  const hex = `0${index % 2}${sha1.slice(2)}`;
  const name = `app_bits_cache/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex}`;
  return { name, sha1: hex, content, key: `${hex}:${content.length}` };
});
const IN_00 = DISK.filter((_, index) => index % 2 === 0);
const IN_01 = DISK.filter((_, index) => index % 2 === 1);

/**
 * Runs the command with a new blobstore, and the code after each reading of a folder. `app_bits_cache/00` is a link to
 * `target`, because only a link can be replaced at once.
 */
async function runWith(
  code: string,
  args: readonly string[],
  env: Record<string, string>,
  folder = "00",
): Promise<Outcome> {
  const directory = await temporaryDirectory();
  const [blobstore, target] = [join(directory, "blobstore"), join(directory, "target")];
  writeBlobs(blobstore, DISK);
  renameSync(join(blobstore, "app_bits_cache/00"), target);
  symlinkSync("../../target", join(blobstore, "app_bits_cache/00"));
  const hook = aroundReaddir(join(blobstore, "app_bits_cache", folder), code);
  return resourcePool([...args, "--blobstore", blobstore], {
    env: { ...env, NODE_OPTIONS: `--import ${hook}` },
  });
}

/** Sets another time with each reading. */
const TOUCH = "fs.utimesSync(path, count, count);";
const MOVE = 'if (count === 1) fs.renameSync(path, path + "-old");';
/** For the folder 00/00: replaces the folder above. */
const REPLACE = `if (count === 1) {
    const link = path.slice(0, -3), other = fs.realpathSync(link) + "-other";
    fs.cpSync(fs.realpathSync(link), other, { recursive: true });
    fs.symlinkSync(other, other + "-link");
    fs.renameSync(other + "-link", link);
  }`;
const runReplacing: Run = (args, env) => runWith(REPLACE, args, env, "00/00");

test.concurrent.each([
  ["that changes while it is read", `if (count === 1) { ${TOUCH} entries.length = 1; }`],
  ["whose time changes with each reading, but not its names", TOUCH],
])("reads a directory completely %s", async (_, code) => {
  const cache = await startFakeCache();
  const outcome = await runWith(code, ["sync", "--prune", ...cache.urlOption], cache.env);
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  expect(cache.present).toEqual(new Set(DISK.map(({ key }) => key)));
});

test.concurrent.each<[string, string, readonly Blob[], RegExp]>([
  [
    "changes all the time",
    `${TOUCH} entries.sort((a, b) => (a.name < b.name ? -1 : 1)).length = count;`,
    [...IN_00.slice(0, 4), ...IN_01],
    /^Can't read \S+00: it changes all the time while it is read$/m,
  ],
  ["is removed with everything below it", MOVE, IN_01, /^Can't read \S+00: it does not exist$/m],
  [
    "becomes a file",
    `${MOVE} if (count === 1) fs.writeFileSync(path, "");`,
    IN_01,
    /^Can't read \S+00: a part of its path is a file, and not a directory$/m,
  ],
  [
    "gets a link that leads nowhere",
    'fs.rmSync(path + "/00", { recursive: true }); fs.symlinkSync("00", path + "/00");',
    [...IN_00.slice(1), ...IN_01],
    /^Can't read \S+00\/00: (its symbolic links lead in a circle|it does not exist)$/m,
  ],
])(
  "exits with 3 if a directory %s while it is read, after adding what was read",
  async (_, code, read, message) => {
    expect(await syncIncompletely((args, env) => runWith(code, args, env), read)).toMatch(message);
  },
);

test.concurrent("exits with 3 if a directory is replaced after it was read, after adding what was read", async () => {
  expect(await syncIncompletely(runReplacing, DISK)).toMatch(
    /^Can't read \S+00: it was removed or replaced while it was read$/m,
  );
});
