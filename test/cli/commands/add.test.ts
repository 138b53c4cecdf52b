import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { keyOf, writeApp, writeZip } from "../app.ts";
import { resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { respond, startFakeCache } from "../fake-cache.ts";

/** On Linux, a file with fewer bytes than its size, like one that is truncated while it is read. */
const WRONG_SIZE = ["/sys/kernel/mm/transparent_hugepage/enabled"].filter(existsSync);

test.concurrent("adds the files of a directory that cf CLI would match, and no others", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  const app = join(directory, "app");
  await writeApp(app, {
    "a.txt": "first",
    "copy of a.txt": "first",
    "sub/ünïcödé 文件.js": "unicode",
    "sub/.hidden": "hidden",
    "a.jar": "an archive inside a directory is a file",
    "empty.txt": "",
    "manifest.yml": "ignored by cf CLI",
    "sub/manifest.yaml": "ignored at any depth",
    ".git/HEAD": "ignored directory",
    "logs/today.log": "ignored by pattern",
    "logs/keep.log": "included again, below an ignored directory",
    ".cfignore": "/logs\n!/logs/keep.log\n# comment\n\nvendor/cache\nX.TXT\nwhat?\n",
    "x.txt": "patterns are case-sensitive",
    "deep/vendor/cache/c": "a slash in the middle does not anchor a pattern to the root",
    "what?": "a question mark is no wildcard, ignored",
    whats: "a question mark is no wildcard, kept",
    "/../outside/target.txt": "outside",
  });
  await symlink("../outside/target.txt", join(app, "link to a file"));
  await symlink("../outside", join(app, "link to a directory"));
  await symlink("a.txt", join(app, "link inside"));
  await symlink("nowhere", join(app, "broken link"));
  await symlink(app, join(directory, "app-link"));

  const outcome = await resourcePoolInThread(["add", "app-link", ...cache.urlOption], {
    cwd: directory,
    env: cache.env,
  });

  expect(outcome).toEqual({
    code: 0,
    stdout: "7 resources added, 0 already present, 0 unreadable\n",
    stderr: "",
  });
  const expected = [
    "first",
    "unicode",
    "hidden",
    "an archive inside a directory is a file",
    "included again, below an ignored directory",
    "patterns are case-sensitive",
    "a question mark is no wildcard, kept",
  ];
  expect(cache.present).toEqual(new Set(expected.map(keyOf)));
});

test.concurrent("counts resources that are already present, and sends nothing in a dry run", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  await writeApp(directory, { "app/a": "first", "app/b": "second", "app/copy of b": "second" });
  const add = ["add", "--json", ...cache.urlOption, join(directory, "app")];

  const dry = await resourcePoolInThread([...add, "--dry-run"], { env: cache.env });
  expect(JSON.parse(dry.stdout)).toEqual({
    found: 2,
    refused: { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 },
    unreadable: 0,
    dryRun: true,
    interrupted: false,
  });
  expect(cache.received).toEqual([]);

  cache.present.add(keyOf("first"));
  const real = await resourcePoolInThread(add, { env: cache.env });
  expect(JSON.parse(real.stdout)).toEqual({
    added: 1,
    alreadyPresent: 1,
    refused: { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 },
    unreadable: 0,
    dryRun: false,
    interrupted: false,
  });
  expect(cache.present).toEqual(new Set(["first", "second"].map(keyOf)));
});

test.concurrent("prints why the Worker refused resources, and exits with 3 when they were too old", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  await writeApp(directory, { a: "first" });
  const add = () =>
    resourcePoolInThread(["add", "a", ...cache.urlOption], { cwd: directory, env: cache.env });
  const refusing = (reason: string) => (response: ServerResponse) => {
    const refused = { "outside-limits": 0, "too-old": 0, "conflicting-size": 0, [reason]: 1 };
    respond(response, 200, { changed: 1, unchanged: 0, refused });
  };
  cache.faults.push(refusing("outside-limits"), refusing("too-old"));
  expect(await add()).toMatchObject({
    code: 0,
    stderr: expect.stringContaining("the size is outside MINIMUM_SIZE and MAXIMUM_SIZE"),
  });
  expect(await add()).toMatchObject({
    code: 3,
    stderr: expect.stringContaining("observed more than a day ago"),
  });
});

test.concurrent("exits with 3 when there is no file to add", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  await mkdir(join(directory, "emptydir"));
  await writeApp(directory, { "app/empty": "", "app/manifest.yml": "ignored" });
  const command = ["add", "emptydir", "app", ...cache.urlOption];
  for (const flags of [[], ["--dry-run"]]) {
    expect(await resourcePoolInThread([...command, ...flags], { cwd: directory, env: cache.env })).toEqual({
      code: 3,
      stdout: "",
      stderr: "No files to match in emptydir, app. Symbolic links and empty files are never matched.\n",
    });
  }
  expect(cache.received).toEqual([]);
});

test.concurrent("adds the files of an archive, also one that begins with a shell script, and a single file", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  const jar = join(directory, "app.JAR");
  await writeZip(jar, {
    "META-INF/": "",
    "META-INF/MANIFEST.MF": "stored",
    "lib/big.class": "deflated ".repeat(100_000),
    "lib/empty": "",
    "lib/link": { content: "big.class", mode: 0o120777 },
    "BOOT-INF/.cfignore": "*.txt\n!manifest.yml",
    "notes.txt": "ignored by the archive's list",
    "manifest.yml": "included again: in an archive the built-in patterns come first",
    ".git/HEAD": "ignored",
  });
  const script = "#!/bin/sh\nexec java -jar $0\n";
  await writeFile(
    join(directory, "executable.war"),
    Buffer.concat([Buffer.from(script), await readFile(jar)]),
  );
  await writeFile(join(directory, "lone.bin"), "a file by itself");

  const paths = [jar, "executable.war", "lone.bin"].map((name) => join(directory, basename(name)));
  const outcome = await resourcePoolInThread(["add", ...cache.urlOption, ...paths], { env: cache.env });

  expect(outcome).toEqual({
    code: 0,
    stdout: "4 resources added, 0 already present, 0 unreadable\n",
    stderr: "",
  });
  const expected = [
    "stored",
    "deflated ".repeat(100_000),
    "included again: in an archive the built-in patterns come first",
    "a file by itself",
  ];
  expect(cache.present).toEqual(new Set(expected.map(keyOf)));
});

test.concurrent("names unreadable files, adds the others, and exits with 3", async () => {
  const [directory, cache] = [await temporaryDirectory(), await startFakeCache()];
  const app = join(directory, "app");
  await writeApp(app, { good: "good", "ok/also good": "also good" });
  execFileSync("mkfifo", [join(app, "pipe")]);
  await writeFile(join(directory, "no.zip"), "this is no archive");
  await writeZip(join(directory, "damaged.zip"), { whole: "whole", hurt: "these bytes are" });
  const bytes = await readFile(join(directory, "damaged.zip"));
  bytes.write("THOSE", bytes.indexOf("these bytes"));
  await writeFile(join(directory, "damaged.zip"), bytes);
  await mkdir(join(app, "closed"));
  await writeFile(join(app, "closed", "file"), "unreadable");
  await chmod(join(app, "closed"), 0);

  const outcome = await resourcePoolInThread(
    ["add", ...cache.urlOption, "app", "no.zip", "damaged.zip", ...WRONG_SIZE],
    { cwd: directory, env: cache.env },
  );
  await chmod(join(app, "closed"), 0o755);

  expect(outcome.code).toBe(3);
  expect(outcome.stderr).toMatch(
    /^Can't read .*app\/pipe: it is a named pipe, which cf push can't read\. Delete it, or ignore it in \.cfignore$/m,
  );
  expect(outcome.stderr).toMatch(/^Can't read no\.zip: it is no zip archive, or has no entries$/m);
  expect(outcome.stderr).toMatch(
    /^Can't read damaged\.zip: the entry hurt can't be read: its checksum is wrong$/m,
  );
  for (const path of WRONG_SIZE) {
    expect(outcome.stderr).toContain(`Can't read ${path}: it changed while it was read`);
  }
  const keys = [...cache.present];
  expect(keys).toEqual(expect.arrayContaining(["good", "also good", "whole"].map(keyOf)));
  expect(keys).not.toContain(keyOf("THOSE bytes are"));
});

const AT = ["--url", "http://127.0.0.1:9", "--token", "x"];

test.concurrent.each([
  ["an unknown flag", ["add", ".", "--force", ...AT], 2, /unknown option '--force'/],
  ["an unknown subcommand", ["ad", "."], 2, /unknown command 'ad'/],
  ["no subcommand", [], 2, /Usage: resource-pool/],
  ["no path", ["add", ...AT], 2, /missing required argument 'path'/],
  ["no URL", ["add", "."], 2, /required option '--url <url>' not specified/],
  ["a missing path", ["add", ".", "nowhere", ...AT], 1, /Can't read nowhere: it does not exist$/m],
])("refuses %s on stderr, before anything is sent", async (_, args, code, message) => {
  const cwd = await temporaryDirectory();
  const outcome = await resourcePoolInThread(args, { cwd });
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
