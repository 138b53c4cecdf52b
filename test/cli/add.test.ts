import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { keyOf, writeApp, writeZip } from "./app.ts";
import { resourcePool, temporaryDirectory, temporaryProject } from "./command.ts";
import { localKeys, withLocalCache } from "./local-cache.ts";

/** On Linux, a file that holds fewer bytes than its size says, as one does that is cut short while it is read. */
const HAS_ANOTHER_SIZE = ["/sys/kernel/mm/transparent_hugepage/enabled"].filter(existsSync);

test.concurrent("a directory's files become keys with the value 1, those that cf CLI would ask for and no others", async () => {
  const { directory } = await temporaryProject({ KEY_PREFIX: "cf1/" });
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
    "logs/keep.log": "brought back, below an ignored directory",
    ".cfignore": "/logs\n!/logs/keep.log\n# comment\n\nvendor/cache\nX.TXT\nwhat?\n",
    "x.txt": "patterns mind the letter case",
    "deep/vendor/cache/c": "a slash in the middle does not tie a pattern to the root",
    "what?": "a question mark is no wildcard, ignored",
    whats: "a question mark is no wildcard, kept",
    "/../outside/target.txt": "outside",
  });
  await symlink("../outside/target.txt", join(app, "link to a file"));
  await symlink("../outside", join(app, "link to a directory"));
  await symlink("a.txt", join(app, "link inside"));
  await symlink("nowhere", join(app, "broken link"));
  await symlink(app, join(directory, "app-link"));

  const outcome = await resourcePool(["add", "app-link", "--config", "wrangler.toml"], { cwd: directory });

  expect(outcome).toEqual({
    code: 0,
    stdout: "7 resources added, 0 already there, 0 left out\n",
    stderr: "",
  });
  const expected = [
    "first",
    "unicode",
    "hidden",
    "an archive inside a directory is a file",
    "brought back, below an ignored directory",
    "patterns mind the letter case",
    "a question mark is no wildcard, kept",
  ];
  expect(await localKeys(directory)).toEqual(
    Object.fromEntries(expected.map((content) => [`cf1/${keyOf(content)}`, "1"])),
  );
});

test.concurrent("what is there is not written again, a wrong value is, and a dry run writes nothing", async () => {
  const { directory, config } = await temporaryProject();
  await writeApp(directory, { "app/a": "first", "app/b": "second", "app/c": "third" });
  await withLocalCache(directory, async (cache) => {
    await cache.put(keyOf("first"), "1");
    await cache.put(keyOf("second"), "0");
  });

  const dry = await resourcePool(["add", "--dry-run", "--json", "--config", config, join(directory, "app")]);
  expect(JSON.parse(dry.stdout)).toEqual({
    added: 2,
    alreadyThere: 1,
    leftOut: 0,
    dryRun: true,
    interrupted: false,
  });
  expect(Object.keys(await localKeys(directory))).toHaveLength(2);

  const real = await resourcePool(["add", "--json", "--config", config, join(directory, "app")]);
  expect(JSON.parse(real.stdout)).toMatchObject({ added: 2, alreadyThere: 1, dryRun: false });
  const held = ["first", "second", "third"].map((content) => [keyOf(content), "1"]);
  expect(await localKeys(directory)).toEqual(Object.fromEntries(held));
});

test.concurrent("of an archive its entries are added, also behind a shell script; a file is added itself", async () => {
  const { directory, config } = await temporaryProject();
  const jar = join(directory, "app.JAR");
  await writeZip(jar, {
    "META-INF/": "",
    "META-INF/MANIFEST.MF": "stored",
    "lib/big.class": "deflated ".repeat(100_000),
    "lib/empty": "",
    "lib/link": { content: "big.class", mode: 0o120777 },
    "BOOT-INF/.cfignore": "*.txt\n!manifest.yml",
    "notes.txt": "ignored by the archive's list",
    "manifest.yml": "brought back: here the built-in list comes first",
    ".git/HEAD": "ignored",
  });
  const script = "#!/bin/sh\nexec java -jar $0\n";
  await writeFile(
    join(directory, "executable.war"),
    Buffer.concat([Buffer.from(script), await readFile(jar)]),
  );
  await writeFile(join(directory, "lone.bin"), "a file by itself");

  const outcome = await resourcePool([
    "add",
    "--config",
    config,
    ...[jar, "executable.war", "lone.bin"].map((name) => join(directory, basename(name))),
  ]);

  expect(outcome).toEqual({
    code: 0,
    stdout: "4 resources added, 0 already there, 0 left out\n",
    stderr: "",
  });
  const expected = [
    "stored",
    "deflated ".repeat(100_000),
    "brought back: here the built-in list comes first",
    "a file by itself",
  ];
  expect(Object.keys(await localKeys(directory)).sort()).toEqual(expected.map(keyOf).sort());
});

test.concurrent("what can't be read is named, the rest is added, and the exit code is 3", async () => {
  const { directory, config } = await temporaryProject();
  const app = join(directory, "app");
  await writeApp(app, { good: "good", "ok/also good": "also good" });
  execFileSync("mkfifo", [join(app, "pipe")]);
  await writeFile(join(directory, "no.zip"), "this is no archive");
  await writeZip(join(directory, "damaged.zip"), { whole: "whole", hurt: "these bytes are" });
  const bytes = await readFile(join(directory, "damaged.zip"));
  bytes.write("THOSE", bytes.indexOf("these bytes"));
  await writeFile(join(directory, "damaged.zip"), bytes);
  await writeZip(join(directory, "encrypted.zip"), { secret: "secret ".repeat(9) });
  const encrypted = await readFile(join(directory, "encrypted.zip"));
  encrypted.writeUInt16LE(1, encrypted.indexOf("PK\x01\x02") + 8);
  await writeFile(join(directory, "encrypted.zip"), encrypted);
  await mkdir(join(app, "closed"));
  await writeFile(join(app, "closed", "file"), "unreadable");
  await chmod(join(app, "closed"), 0);

  const outcome = await resourcePool(
    ["add", "--config", config, "app", "no.zip", "damaged.zip", "encrypted.zip", ...HAS_ANOTHER_SIZE],
    {
      cwd: directory,
    },
  );
  await chmod(join(app, "closed"), 0o755);

  expect(outcome.code).toBe(3);
  expect(outcome.stderr).toMatch(
    /^Left out: .*app\/pipe: is neither a file, a directory nor a symbolic link$/m,
  );
  expect(outcome.stderr).toMatch(/^Left out: no\.zip: End of central directory record signature not found/m);
  expect(outcome.stderr).toMatch(/^Left out: damaged\.zip: the archive is damaged: hurt/m);
  expect(outcome.stderr).toMatch(/^Left out: encrypted\.zip: the archive is encrypted: secret/m);
  for (const path of HAS_ANOTHER_SIZE) {
    expect(outcome.stderr).toContain(`Left out: ${path}: changed while it was read`);
  }
  const keys = Object.keys(await localKeys(directory));
  expect(keys).toEqual(expect.arrayContaining(["good", "also good", "whole"].map(keyOf)));
  expect(keys).not.toContain(keyOf("THOSE bytes are"));
});

test.concurrent.each([
  ["an unknown flag", ["add", ".", "--force"], 2, /unknown option '--force'/],
  ["an unknown subcommand", ["ad", "."], 2, /unknown command 'ad'/],
  ["no subcommand", [], 2, /Usage: resource-pool/],
  ["no path", ["add"], 2, /missing required argument 'path'/],
  ["both caches", ["add", ".", "--local", "--remote"], 2, /cannot be used with option '--remote'/],
  ["a missing path, before anything is written", ["add", ".", "nowhere"], 1, /Can't read nowhere: .*ENOENT/],
  ["a missing configuration", ["add", ".", "--config", "nowhere.toml"], 1, /There is no .*nowhere\.toml/],
])("%s is refused on stderr", async (_, args, code, message) => {
  const cwd = await temporaryDirectory();
  const outcome = await resourcePool(args, { cwd });
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});

test.concurrent("--help goes to stdout, and tells the exit codes", async () => {
  const outcome = await resourcePool(["add", "--help"]);
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  expect(outcome.stdout).toMatch(/Usage: resource-pool add .*Example:.*Exit codes:.*130/s);
});
