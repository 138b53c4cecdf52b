import { createHash } from "node:crypto";
import { appendFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AppFixture, createApp, createVariedApp } from "../../support/node/app-fixture.ts";
import { comparePackage } from "../../support/node/package-comparison.ts";
import type { Fault } from "../cloud-controller/faults.ts";
import { type FoundationFixture, startFoundationFixture } from "../foundation-fixture.ts";
import { archiveEntries } from "./app-archive.ts";
import { gatherDirectory } from "./app-directory.ts";
import { push as pushApp } from "./push-client.ts";

const sha1 = (content: string) => createHash("sha1").update(content).digest("hex");

let foundation: FoundationFixture;
let app: AppFixture;

beforeAll(async () => {
  foundation = await startFoundationFixture({ minimumSize: 0, maximumSize: 250_000 });
});

afterAll(() => foundation.close());

beforeEach(async () => {
  app = await createApp();
  foundation.cloudController.stats.reset();
});

afterEach(async () => {
  foundation.cloudController.faults.set({});
  await app.remove();
});

const target = () => ({ url: foundation.cloudController.url, token: foundation.token });
const push = (directory = app.path) => pushApp(directory, target());
const compare = (packageGuid: string, directory = app.path) =>
  comparePackage(packageGuid, directory, target());
const countRequests = (name: string) => foundation.cloudController.stats.requests[name] ?? 0;
const setFaults = (faults: Record<string, Fault>) => foundation.cloudController.faults.set(faults);

describe("an app with every kind of entry", () => {
  let manifold: AppFixture;

  beforeAll(async () => {
    manifold = await createVariedApp();
  });
  afterAll(() => manifold.remove());

  it("uploads all files in the first push", async () => {
    const first = await push(manifold.path);
    expect(first).toMatchObject({ requested: 11, matched: 0, uploadedFiles: 13, warnings: [] });
    expect(await compare(first.packageGuid, manifold.path)).toEqual([]);
  });

  it("uploads only files that the pool does not store in the second push: read-only, too large or empty", async () => {
    const second = await push(manifold.path);
    expect(second).toMatchObject({ requested: 11, matched: 9, uploadedFiles: 4 });
    expect(second.uploadedBytes).toBe("read-only".length + 300_000);
    expect(await compare(second.packageGuid, manifold.path)).toEqual([]);
  });

  it("uploads a changed file in the next push", async () => {
    await manifold.write("server.js", "other content");
    const third = await push(manifold.path);
    expect(third).toMatchObject({ requested: 11, matched: 8, uploadedFiles: 5 });
    expect(await compare(third.packageGuid, manifold.path)).toEqual([]);
  });

  it("finds differences in content, mode, link and name between package and directory", async () => {
    const { packageGuid } = await push(manifold.path);
    const other = await createVariedApp();
    await other.write("server.js", "another content again");
    await other.write("bin/run", "#!/bin/sh\n", 0o711);
    await rm(join(other.path, "empty.txt"));
    await rm(join(other.path, "main.js"));
    await other.write("main.js", "no link");
    await rm(join(other.path, "nothing/in/here"), { recursive: true });
    const names = (await compare(packageGuid, other.path)).map((line) => line.split(":")[0]);
    await other.remove();
    expect(names.sort()).toEqual(
      ["bin/run", "empty.txt", "main.js", "nothing/in/", "nothing/in/here/", "server.js"].sort(),
    );
  });
});

it("sends no bits if every file was matched", async () => {
  await app.write("a");
  await app.write("b/c");
  await push();
  await rm(join(app.path, "b"), { recursive: true });
  const second = await push();
  expect(second).toMatchObject({ requested: 1, matched: 1, uploadedFiles: 0, uploadedBytes: 0 });
  expect(second.durations.archive).toBe(0);
  expect(await compare(second.packageGuid)).toEqual([]);
});

it("sends no request for matches if all files are empty", async () => {
  await app.write("empty", "");
  const { packageGuid, requested } = await push();
  expect({ requested, requests: countRequests("POST /v3/resource_matches") }).toEqual({
    requested: 0,
    requests: 0,
  });
  expect(await compare(packageGuid)).toEqual([]);
});

it("rejects an empty directory, as cf CLI does", async () => {
  await expect(push()).rejects.toThrow("is empty");
});

describe("an app of exactly 5,000 files and an empty one", () => {
  let large: AppFixture;

  beforeAll(async () => {
    large = await createApp();
    // Only 50 contents, because creating thousands of directories in the pool takes seconds.
    for (let i = 0; i < 5000; i++) await writeFile(join(large.path, String(i)), `number ${i % 50}`);
    await large.write("the last", "");
  });
  afterAll(() => large.remove());

  it("sends one request for matches for exactly 5,000 files and an empty one", async () => {
    expect(await push(large.path)).toMatchObject({ requested: 5000, matched: 0, uploadedFiles: 5001 });
    expect(countRequests("POST /v3/resource_matches")).toBe(1);
  });

  it("fails for exactly 5,000 files with a cf CLI before 8.15, which sends an empty request after the first one", async () => {
    await expect(pushApp(large.path, target(), { sendsEmptyRequest: true })).rejects.toThrow(
      /resource_matches: 422 .*must have at least 1 resource/,
    );
    expect(foundation.cloudController.stats.requests).toEqual({ "POST /v3/resource_matches": 2 });
  });

  it("sends two requests for matches for 5,001 files, with any cf CLI", async () => {
    await large.write("one more", "number 7");
    const pushed = await pushApp(large.path, target(), { sendsEmptyRequest: true });
    expect(pushed).toMatchObject({ requested: 5001, matched: 5001, uploadedFiles: 1 });
    expect(countRequests("POST /v3/resource_matches")).toBe(2);
    expect(await compare(pushed.packageGuid, large.path)).toEqual([]);
  });

  it("loses files without an error if two requests get different decisions for a content", async () => {
    setFaults({ "/v3/resource_matches": { status: 201, body: { resources: [] }, times: 1 } });
    const pushed = await push(large.path);
    // Files of the first request with the content that the second matched are neither uploaded nor listed.
    expect(pushed).toMatchObject({ requested: 5001, matched: 1, uploadedFiles: 4901, warnings: [] });
    const lost = await compare(pushed.packageGuid, large.path);
    expect(lost).toHaveLength(100);
    expect(lost).toContainEqual(expect.stringMatching(/^4957: file of 8 bytes.* nothing is in the package$/));
  });
});

it("keeps every file of a content with several paths and modes", async () => {
  await app.write("a", "the same", 0o644);
  await app.write("b", "the same", 0o755);
  await app.write("c/d", "the same", 0o600);
  await push();
  const second = await push();
  expect(second).toMatchObject({ requested: 3, matched: 3, uploadedFiles: 0 });
  expect(await compare(second.packageGuid)).toEqual([]);
});

describe("a package", () => {
  it("fails a package if a matched resource is missing from the pool", async () => {
    await app.write("missing");
    await app.write("missing too");
    setFaults({ "/v3/resource_matches": { false_matches: "all" } });
    await expect(push()).rejects.toThrow(
      `the package failed: Could not find object '${sha1("the content of missing")}'`,
    );
  });

  it("completes a package if a blob is missing and its file is uploaded", async () => {
    await app.write("a/file", "shared content");
    const { packageGuid } = await push();
    expect(await compare(packageGuid)).toEqual([]);
    await foundation.cloudController.pool.delete(sha1("shared content"));
    const again = await push();
    expect(again).toMatchObject({ matched: 0, uploadedFiles: 1 });
  });

  it("fails a package if a read-only file with the content of a present file is matched", async () => {
    await app.write("writable", "shared by both");
    await push();
    await app.write("read-only", "shared by both", 0o444);
    setFaults({ "/v3/resource_matches": { false_matches: "all" } });
    await expect(push()).rejects.toThrow(
      "The resource file mode is invalid: File mode '444' with path 'read-only' is invalid. Minimum file mode is '0600'",
    );
  });

  it("omits a read-only file from a package if another file with its content is matched", async () => {
    await app.write("writable", "shared, and lost");
    await push();
    await app.write("read-only", "shared, and lost", 0o444);
    const second = await push();
    expect(second).toMatchObject({ requested: 2, matched: 1, uploadedFiles: 0 });
    expect(await compare(second.packageGuid)).toEqual([
      expect.stringMatching(/^read-only: .* nothing is in/),
    ]);
  });

  it("fails a package if a blob is damaged, and deletes the blob", async () => {
    await app.write("damaged");
    await push();
    const name = sha1("the content of damaged");
    await appendFile(foundation.cloudController.pool.pathOf(name) ?? "", "!");
    await expect(push()).rejects.toThrow("did not match the given checksum. They have been deleted");
    expect(await push()).toMatchObject({ matched: 0, uploadedFiles: 1 });
  });
});

describe("with a fault of /v3/resource_matches, the push", () => {
  beforeEach(() => app.write("file", "known for a long time"));

  it.each<[string, Fault, RegExp]>([
    ["fails on an error in JSON", { status: 503 }, /resource_matches: 503 .*UnknownError/],
    ["fails on an error in HTML", { status: 502, body: "<h1>Bad Gateway</h1>" }, /502 <h1>Bad Gateway/],
    ["fails if the connection is cut before the response", { cut: "before" }, /hang up|ECONNRESET/],
    ["fails if the connection is cut within the response", { cut: "during" }, /aborted/],
    ["fails on malformed JSON", { malformed: true }, /can't be decoded/],
    [
      "fails on a warning with a bad escape",
      { headers: { "X-Cf-Warnings": "50%25,%zz" } },
      /invalid URL escape "%zz"/,
    ],
  ])("%s, and does not retry", async (_, fault, message) => {
    setFaults({ "POST /v3/resource_matches": fault });
    await expect(push()).rejects.toThrow(message);
    expect(foundation.cloudController.stats.requests).toEqual({ "POST /v3/resource_matches": 1 });
  });

  it("waits in a push for a late response for matches", async () => {
    setFaults({ "/v3/resource_matches": { latency_ms: 300 } });
    expect((await push()).durations.match).toBeGreaterThanOrEqual(300);
  });

  it("fails a push if the response has a resource that was not requested", async () => {
    setFaults({ "/v3/resource_matches": { false_matches: "unrequested" } });
    // cf CLI lists the unrequested resource in the upload.
    await expect(push()).rejects.toThrow("Could not find object");
  });

  it("decodes the warnings of a response in a push", async () => {
    setFaults({ "/v3/resource_matches": { headers: { "X-Cf-Warnings": "one%2C+two, caf%C3%A9" } } });
    expect((await push()).warnings).toEqual(["one, two", "café"]);
  });
});

it("fails a push if a file changes during it", async () => {
  await app.write("file");
  const entries = await gatherDirectory(app.path);
  await app.write("file", "other content");
  const archive = join(foundation.poolDirectory, "never.zip");
  await expect(archiveEntries(app.path, entries, archive)).rejects.toThrow(
    "file has changed while it was pushed",
  );
});

it("retries a GET twice after an error, as cf CLI does", async () => {
  await app.write("file");
  setFaults({ "GET /v3/packages/*": { status: 503, times: 2 } });
  await push();
});
