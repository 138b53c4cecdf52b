import { chmod, symlink } from "node:fs/promises";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { sha1Of, writeApp, writeZip } from "../app.ts";
import { resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { startEndpoint, startServer } from "../endpoint.ts";

const TOKEN = "a.b-c.d_e";

test.concurrent("sends the requests of cf CLI for a directory, and shows the result of each file and the totals", async () => {
  const app = await temporaryDirectory();
  await writeApp(app, {
    "b/run.sh": "#!/bin/sh",
    "a.js": "present",
    "b/same.js": "present",
    "c.js": "absent",
    "empty.txt": "",
    "manifest.yml": "ignored",
  });
  await chmod(join(app, "a.js"), 0o644);
  await chmod(join(app, "b/run.sh"), 0o4755);
  await symlink("a.js", join(app, "link"));
  // An endpoint may match only one of two files with the same content: cf CLI compares checksums.
  const { url, requests } = await startEndpoint(({ path }) => path === "a.js" || path === "b/run.sh");

  const outcome = await resourcePoolInThread(["check", app, "--url", `${url}/`, "--token", TOKEN]);

  expect(outcome.stdout.split("\n").map((line) => line.trim().split(/ {2,}/))).toEqual([
    ["matched", "7 B", "a.js"],
    ["matched", "9 B", "b/run.sh"],
    ["matched", "7 B", "b/same.js"],
    ["upload", "6 B", "c.js"],
    ["empty", "empty.txt"],
    ["link", "link"],
    [""],
    ["matched", "3 files", "23 B"],
    ["upload", "1 file", "6 B"],
    ["link", "1 file", "0 B"],
    ["empty", "1 file", "0 B"],
    ["saved", "79.3 % of the bytes"],
    [""],
  ]);
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  expect(requests).toHaveLength(1);
  expect(requests[0]).toMatchObject({ authorization: `bearer ${TOKEN}`, path: "POST /v3/resource_matches" });
  expect(requests[0]?.resources).toEqual([
    { checksum: { value: sha1Of("present") }, size_in_bytes: 7, path: "a.js", mode: "644" },
    // Go writes its own bit for set-user-ID.
    { checksum: { value: sha1Of("#!/bin/sh") }, size_in_bytes: 9, path: "b/run.sh", mode: "40000755" },
    expect.objectContaining({ path: "b/same.js" }),
    expect.objectContaining({ path: "c.js" }),
  ]);
});

test.concurrent("exits with 3 when a directory has no file that cf CLI would match", async () => {
  const app = await temporaryDirectory();
  await writeApp(app, { "emptydir/manifest.yml": "ignored", "empty/a": "" });
  const { url, requests } = await startEndpoint(() => true);
  const check = (directory: string) =>
    resourcePoolInThread(["check", directory, "--url", url, "--token", TOKEN], { cwd: app });
  const none = (directory: string) =>
    `No files to match in ${directory}. Symbolic links and empty files are never matched.\n`;
  expect(await check("emptydir")).toMatchObject({ code: 3, stderr: none("emptydir") });
  const empty = await check("empty");
  expect(empty).toMatchObject({ code: 3, stderr: none("empty") });
  expect(empty.stdout).toMatch(/^empty +a\n/);
  expect(empty.stdout).not.toContain("saved");
  expect(requests).toEqual([]);
});

test.concurrent("marks files outside the size limits when the token may read the limits", async () => {
  const app = await temporaryDirectory();
  await writeApp(app, { "a.txt": "abc", "b.txt": "four", "c.txt": "other", "d.txt": "much too large" });
  const check = async (status: number, flags: string[] = []) => {
    const url = await startServer(async (request, response) => {
      if (request.method === "GET") {
        const configuration = { MINIMUM_SIZE: 4, MAXIMUM_SIZE: 10 };
        return void response.writeHead(status).end(JSON.stringify({ configuration }));
      }
      const { resources } = (await json(request)) as { resources: { path: string }[] };
      const matched = resources.filter(({ path }) => path === "b.txt");
      response.writeHead(201).end(JSON.stringify({ resources: matched }));
    });
    const outcome = await resourcePoolInThread(["check", app, ...flags, "--url", url, "--token", TOKEN]);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    return outcome.stdout;
  };
  const rows = (stdout: string) =>
    (stdout.split("\n\n")[0] ?? "").split("\n").map((line) => line.trim().split(/ {2,}/));
  expect(rows(await check(200))).toEqual([
    ["upload", "3 B", "a.txt", "too small"],
    ["matched", "4 B", "b.txt"],
    ["upload", "5 B", "c.txt"],
    ["upload", "14 B", "d.txt", "too large"],
  ]);
  const { files } = JSON.parse(await check(200, ["--json"]));
  expect(files.map(({ reason }: { reason?: string }) => reason)).toEqual([
    "too small",
    undefined,
    undefined,
    "too large",
  ]);
  expect(rows(await check(403)).map(([, , ...rest]) => rest)).toEqual([
    ["a.txt"],
    ["b.txt"],
    ["c.txt"],
    ["d.txt"],
  ]);
});

test.concurrent("marks files that are uploaded because of a mode, and prints the resources of the responses", async () => {
  const app = await temporaryDirectory();
  const contents = { "a.txt": "read-only", "b.txt": "read-only", "c.txt": "absent", "d.txt": "completed" };
  await writeApp(app, contents);
  const modes = { "a.txt": 0o644, "b.txt": 0o444, "c.txt": 0o4200, "d.txt": 0o400 };
  for (const [path, mode] of Object.entries(modes)) await chmod(join(app, path), mode);
  const completed = {
    checksum: { value: sha1Of("completed") },
    size_in_bytes: 9,
    path: "d.txt",
    mode: "600",
  };
  const check = async (MINIMUM_FILE_MODE: string | null, flags: string[] = []) => {
    const url = await startServer((request, response) => {
      const configuration = { MINIMUM_SIZE: 0, MAXIMUM_SIZE: 1_000, MINIMUM_FILE_MODE };
      if (request.method === "GET") response.end(JSON.stringify({ configuration }));
      else response.writeHead(201).end(JSON.stringify({ resources: [completed] }));
    });
    const outcome = await resourcePoolInThread(["check", app, ...flags, "--url", url, "--token", TOKEN]);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    return outcome.stdout;
  };
  const reasons = (stdout: string) =>
    stdout.split("\n", 4).map((line) =>
      line
        .trim()
        .split(/ {2,}/)
        .filter((_, column) => column !== 1),
    );
  expect(reasons(await check("0600"))).toEqual([
    ["upload", "a.txt", "same content as b.txt, whose mode 0444 lacks 0600"],
    ["upload", "b.txt", "mode 0444 lacks 0600"],
    ["upload", "c.txt", "mode 0200 lacks 0600"],
    ["matched", "d.txt", "mode 0400 becomes 0600"],
  ]);
  expect(reasons(await check(null)).slice(0, 3)).toEqual([
    ["upload", "a.txt"],
    ["upload", "b.txt"],
    ["upload", "c.txt"],
  ]);
  const { resources, files } = JSON.parse(await check("0600", ["--json"]));
  expect(resources).toEqual([completed]);
  expect(files[1]).toEqual({
    status: "upload",
    reason: "mode 0444 lacks 0600",
    mode: "444",
    path: "b.txt",
    sha1: sha1Of("read-only"),
    size: 9,
  });
});

test.concurrent("sends two requests for 5,100 files, one after the other, with the token of CF_TOKEN", async () => {
  const directory = await temporaryDirectory();
  const files = Array.from({ length: 5_100 }, (_, index) => [`f${index}`, `content ${index}`]);
  await writeZip(join(directory, "app.zip"), Object.fromEntries([...files, ["empty", ""], ["dir/", ""]]));
  let running = 0;
  let concurrent = 0;
  const counts: number[] = [];
  const tokens = new Set<string | undefined>();
  const url = await startServer(async (request, response) => {
    running += 1;
    concurrent = Math.max(concurrent, running);
    const { resources } = (await json(request)) as { resources: object[] };
    counts.push(resources.length);
    tokens.add(request.headers.authorization);
    await pause(50);
    running -= 1;
    response.writeHead(201).end(JSON.stringify({ resources }));
  });

  const outcome = await resourcePoolInThread(["check", "app.zip", "--url", url, "--json"], {
    cwd: directory,
    env: { CF_TOKEN: `Bearer ${TOKEN}\n` },
  });

  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  const { files: checked, resources, summary } = JSON.parse(outcome.stdout);
  expect(resources.map(({ path }: { path: string }) => path)).toEqual(files.map(([path]) => path));
  expect(summary).toMatchObject({
    matched: { files: 5_100 },
    upload: { files: 0, bytes: 0 },
    link: { files: 0, bytes: 0 },
    empty: { files: 1, bytes: 0 },
    savedPercent: 100,
    unreadable: 0,
  });
  expect(checked).toHaveLength(5_101);
  expect(checked[0]).toEqual({
    status: "matched",
    path: "f0",
    mode: "744",
    sha1: sha1Of("content 0"),
    size: 9,
  });
  expect({ counts, concurrent }).toEqual({ counts: [5000, 100], concurrent: 1 });
  expect(tokens).toEqual(new Set([`bearer ${TOKEN}`]));
});

test.concurrent.each([
  ["no token", ["--url", "http://127.0.0.1:9"], 2, /There is no token\. .*cf oauth-token/],
  ["no URL", ["--token", TOKEN], 2, /required option '--url <url>' not specified/],
  [
    "a URL with a password, which is not shown",
    ["--url", "https://admin:hush-hush@a.example.com", "--token", TOKEN],
    2,
    /^--url must be the base URL of the API, like https:\/\/api\.example\.com, not https:\/\/\*\*\*@a\.example\.com\n$/,
  ],
  ["an invalid URL", ["--url", "localhost:80", "--token", TOKEN], 2, /--url must be the base URL of the API/],
  ["a token of two words", ["--url", "http://a", "--token", "a b"], 2, /has blanks or other characters/],
  [
    "a port where no server listens",
    ["--url", "http://127.0.0.1:9", "--token", TOKEN],
    1,
    /No response from http:\/\/127\.0\.0\.1:9\//,
  ],
])("refuses %s on stderr, with the exit code", async (_, args, code, message) => {
  const app = await temporaryDirectory();
  await writeApp(app, { a: "a" });
  const outcome = await resourcePoolInThread(["check", app, ...args]);
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});

const envelope = (code: number, title: string, detail: string) =>
  JSON.stringify({ errors: [{ detail, title, code }] });

test.concurrent.each([
  [
    401,
    {},
    envelope(1000, "CF-InvalidAuthToken", "Invalid Auth Token"),
    /returned 401: Invalid Auth Token \(CF-InvalidAuthToken, 1000\)\nThe token is not a JWT.*cf oauth-token/s,
  ],
  [
    422,
    {},
    envelope(10008, "CF-UnprocessableEntity", "Resources must be an array"),
    /returned 422: Resources/,
  ],
  [504, {}, "<html><title>gateway</title></html>", /returned 504 with a web page: "gateway"/],
  [
    302,
    { Location: "https://elsewhere.example.com/" },
    "",
    /returned 302\. It redirects to https:\/\/elsewhere\S+\.\nIs the URL the base URL of the API/,
  ],
  [201, {}, "not JSON", /returned 201: not JSON\nThis is not a response of a Worker of this project or/],
  [201, {}, "null", /returned 201: null\nThis is not a response/],
  [
    500,
    { "X-Cf-Warnings": "first%2C%20with+comma,se%c3%a9cond,%zz" },
    "",
    /: first, with comma\n.*: seécond\n.*: %zz\n/,
  ],
])(
  "fails when the endpoint returns %i %j, and prints its error and its warnings",
  async (status, headers, body, message) => {
    const url = await startServer((_, response) => {
      response.writeHead(status, headers).end(body);
    });
    const app = await temporaryDirectory();
    await writeApp(app, { a: "a" });
    const outcome = await resourcePoolInThread(["check", app, "--url", url, "--token", TOKEN]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toContain(TOKEN);
  },
);
