import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { sha1Of, writeApp } from "../app.ts";
import { afterTests, resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { startEndpoint } from "../endpoint.ts";

// macOS and Windows refuse such a name.
test.skipIf(process.platform !== "linux")(
  "reads files and directories whose names are not UTF-8",
  async () => {
    const app = await temporaryDirectory();
    const latin1 = (path: string) => Buffer.from(join(app, path), "latin1");
    await mkdir(latin1("caf\xe9"));
    await writeFile(latin1("caf\xe9/\xfc.txt"), "in a directory");
    await writeFile(latin1("na\xefve.js"), "a file");
    const { url, requests } = await startEndpoint(() => true);
    const outcome = await resourcePoolInThread(["check", app, "--url", url, "--token", "t"]);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    // cf CLI sends U+FFFD too.
    expect(requests[0]?.resources.map(({ path, checksum }) => [path, checksum.value])).toEqual([
      ["caf\ufffd/\ufffd.txt", sha1Of("in a directory")],
      ["na\ufffdve.js", sha1Of("a file")],
    ]);
  },
);

test("says how to name a file whose name is not UTF-8 when it is an argument", () => {
  const script = `"$0" "$1" check "$(printf 'na\\357ve.js')" --url http://127.0.0.1:9 --token t`;
  const { status, stderr } = spawnSync("sh", ["-c", script, process.execPath, inject("resourcePool")]);
  expect(status).toBe(1);
  expect(stderr.toString()).toMatch(
    /^Can't read na\ufffdve\.js: it does not exist\. If its name is not UTF-8, name the directory that has it\.$/m,
  );
});

test("names a pipe, a socket and a device as what they are, and does not open them", async () => {
  const app = await temporaryDirectory();
  await writeApp(app, { "app/file": "content" });
  execFileSync("mkfifo", [join(app, "app/pipe"), join(app, "pipe.zip")]);
  const socket = createServer().listen(join(app, "app/socket"));
  afterTests(() => socket.close());
  const { url } = await startEndpoint(() => true);
  const check = (path: string) =>
    resourcePoolInThread(["check", path, "--url", url, "--token", "t"], { cwd: app });

  const outcome = await check("app");
  expect(outcome.code).toBe(3);
  expect(outcome.stdout).toMatch(/^matched +7 B +file$/m);
  expect(outcome.stderr).toMatch(
    /^Can't read .*\/pipe: it is a named pipe, which .*\nCan't read .*\/socket: it is a socket, which /,
  );

  await writeApp(app, { "app/.cfignore": "pipe\nsocket" });
  expect(await check("app")).toMatchObject({ code: 0, stderr: "" });
  await mkdir(join(app, "piped"));
  execFileSync("mkfifo", [join(app, "piped/.cfignore")]);
  expect(await check("piped")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^Can't read piped: .*\/\.cfignore is no regular file\n/),
  });
  expect(await check("pipe.zip")).toMatchObject({
    code: 1,
    stderr: "Can't read pipe.zip: it is a named pipe, no file or directory.\n",
  });
  expect(await check("/dev/null")).toMatchObject({
    code: 1,
    stderr: "Can't read /dev/null: it is a device, no file or directory.\n",
  });
});
