import { createHash } from "node:crypto";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AppFixture, createApp, createVariedApp } from "../../support/node/app-fixture.ts";
import { comparePackage } from "../../support/node/package-comparison.ts";
import type { Fault } from "../cloud-controller/faults.ts";
import { type Foundation, startFoundation } from "../foundation.ts";
import { archiveEntries } from "./app-archive.ts";
import { gatherDirectory } from "./app-directory.ts";
import { push as pushApp } from "./push-client.ts";

const sha1 = (content: string) => createHash("sha1").update(content).digest("hex");

let foundation: Foundation;
let poolDirectory: string;
let token: string;
let app: AppFixture;

beforeAll(async () => {
  poolDirectory = await mkdtemp(join(tmpdir(), "pool-"));
  foundation = await startFoundation({ poolDirectory, limits: { minimumSize: 0, maximumSize: 250_000 } });
  token = await foundation.uaa.issueToken();
});

afterAll(async () => {
  await foundation.close();
  await rm(poolDirectory, { recursive: true });
});

beforeEach(async () => {
  app = await createApp();
  foundation.cloudController.stats.reset();
});

afterEach(async () => {
  foundation.cloudController.faults.set({});
  await app.remove();
});

const target = () => ({ url: foundation.cloudController.url, token });
const push = (directory = app.path) => pushApp(directory, target());
const differences = (packageGuid: string, directory = app.path) =>
  comparePackage(packageGuid, directory, target());
const requests = (name: string) => foundation.cloudController.stats.requests[name] ?? 0;
const set = (faults: Record<string, Fault>) => foundation.cloudController.faults.set(faults);

describe("pushes of an app with everything in it", () => {
  let manifold: AppFixture;

  beforeAll(async () => {
    manifold = await createVariedApp();
  });
  afterAll(() => manifold.remove());

  it("uploads everything at first", async () => {
    const first = await push(manifold.path);
    expect(first).toMatchObject({ requested: 11, matched: 0, uploadedFiles: 13, warnings: [] });
    expect(await differences(first.packageGuid, manifold.path)).toEqual([]);
  });

  it("uploads at second only what the pool does not take: read-only, too large or never asked for", async () => {
    const second = await push(manifold.path);
    expect(second).toMatchObject({ requested: 11, matched: 9, uploadedFiles: 4 });
    expect(second.uploadedBytes).toBe("nobody writes this".length + 300_000);
    expect(await differences(second.packageGuid, manifold.path)).toEqual([]);
  });

  it("uploads what has changed", async () => {
    await manifold.write("server.js", "other content");
    const third = await push(manifold.path);
    expect(third).toMatchObject({ requested: 11, matched: 8, uploadedFiles: 5 });
    expect(await differences(third.packageGuid, manifold.path)).toEqual([]);
  });

  it("sees a difference in content, mode, link and name", async () => {
    const { packageGuid } = await push(manifold.path);
    const other = await createVariedApp();
    await other.write("server.js", "another content again");
    await other.write("bin/run", "#!/bin/sh\n", 0o711);
    await rm(join(other.path, "empty.txt"));
    await rm(join(other.path, "main.js"));
    await other.write("main.js", "no link");
    await rm(join(other.path, "nothing/in/here"), { recursive: true });
    const names = (await differences(packageGuid, other.path)).map((line) => line.split(":")[0]);
    await other.remove();
    expect(names.sort()).toEqual(
      ["bin/run", "empty.txt", "main.js", "nothing/in/", "nothing/in/here/", "server.js"].sort(),
    );
  });
});

it("sends no bits where every file was matched", async () => {
  await app.write("a");
  await app.write("b/c");
  await push();
  await rm(join(app.path, "b"), { recursive: true });
  const second = await push();
  expect(second).toMatchObject({ requested: 1, matched: 1, uploadedFiles: 0, uploadedBytes: 0 });
  expect(second.durations.archive).toBe(0);
  expect(await differences(second.packageGuid)).toEqual([]);
});

it("asks for nothing where all files are empty", async () => {
  await app.write("empty", "");
  const { packageGuid, requested } = await push();
  expect({ requested, requests: requests("POST /v3/resource_matches") }).toEqual({
    requested: 0,
    requests: 0,
  });
  expect(await differences(packageGuid)).toEqual([]);
});

it("refuses an empty directory, as cf CLI does", async () => {
  await expect(push()).rejects.toThrow("is empty");
});

describe("an app of as many files as one request asks for, and an empty one", () => {
  let large: AppFixture;

  beforeAll(async () => {
    large = await createApp();
    // Few contents, because the pool's many directories would take seconds.
    for (let i = 0; i < 5000; i++) await writeFile(join(large.path, String(i)), `number ${i % 50}`);
    await large.write("the last", "");
  });
  afterAll(() => large.remove());

  it("is asked for with one request", async () => {
    expect(await push(large.path)).toMatchObject({ requested: 5000, matched: 0, uploadedFiles: 5001 });
    expect(requests("POST /v3/resource_matches")).toBe(1);
  });

  it("fails with an older cf CLI, which sends a request for nothing after that one", async () => {
    await expect(pushApp(large.path, target(), { sendsEmptyRequest: true })).rejects.toThrow(
      /resource_matches: 422 .*must have at least 1 resource/,
    );
    expect(foundation.cloudController.stats.requests).toEqual({ "POST /v3/resource_matches": 2 });
  });

  it("is asked for with two when a file comes to it, and that by any cf CLI", async () => {
    await large.write("one more", "number 7");
    const pushed = await pushApp(large.path, target(), { sendsEmptyRequest: true });
    expect(pushed).toMatchObject({ requested: 5001, matched: 5001, uploadedFiles: 1 });
    expect(requests("POST /v3/resource_matches")).toBe(2);
    expect(await differences(pushed.packageGuid, large.path)).toEqual([]);
  });

  it("loses files without a word when two requests are answered differently for one content", async () => {
    set({ "/v3/resource_matches": { status: 201, body: { resources: [] }, times: 1 } });
    const pushed = await push(large.path);
    // What the first request had of the content that the second matched is neither uploaded nor claimed.
    expect(pushed).toMatchObject({ requested: 5001, matched: 1, uploadedFiles: 4901, warnings: [] });
    const lost = await differences(pushed.packageGuid, large.path);
    expect(lost).toHaveLength(100);
    expect(lost).toContainEqual(expect.stringMatching(/^4957: file of 8 bytes.* nothing is in the package$/));
  });
});

it("keeps every file of a content that lies under many paths and modes", async () => {
  await app.write("a", "the same", 0o644);
  await app.write("b", "the same", 0o755);
  await app.write("c/d", "the same", 0o600);
  await push();
  const second = await push();
  expect(second).toMatchObject({ requested: 3, matched: 3, uploadedFiles: 0 });
  expect(await differences(second.packageGuid)).toEqual([]);
});

describe("a package that can't be made", () => {
  it("fails for a resource that is claimed and missing", async () => {
    await app.write("claimed");
    await app.write("claimed too");
    set({ "/v3/resource_matches": { false_matches: "all" } });
    await expect(push()).rejects.toThrow(
      `the package has failed: Could not find object '${sha1("the content of claimed")}'`,
    );
  });

  it("is made nevertheless where the same content is uploaded with it", async () => {
    await app.write("a/file", "shared content");
    const { packageGuid } = await push();
    expect(await differences(packageGuid)).toEqual([]);
    await foundation.cloudController.pool.delete(sha1("shared content"));
    const again = await push();
    expect(again).toMatchObject({ matched: 0, uploadedFiles: 1 });
  });

  it("fails for a read-only file that shares its content with one that is held", async () => {
    await app.write("writable", "shared by both");
    await push();
    await app.write("read-only", "shared by both", 0o444);
    set({ "/v3/resource_matches": { false_matches: "all" } });
    await expect(push()).rejects.toThrow(
      "The resource file mode is invalid: File mode '444' with path 'read-only' is invalid. Minimum file mode is '0600'",
    );
  });

  it("leaves out the read-only file itself, which cf CLI then does not upload either", async () => {
    await app.write("writable", "shared, and lost");
    await push();
    await app.write("read-only", "shared, and lost", 0o444);
    const second = await push();
    expect(second).toMatchObject({ requested: 2, matched: 1, uploadedFiles: 0 });
    expect(await differences(second.packageGuid)).toEqual([
      expect.stringMatching(/^read-only: .* nothing is in/),
    ]);
  });

  it("fails for a blob that is damaged, and takes it out of the pool", async () => {
    await app.write("damaged");
    await push();
    const name = sha1("the content of damaged");
    await appendFile(foundation.cloudController.pool.pathOf(name) ?? "", "!");
    await expect(push()).rejects.toThrow("did not match the given checksum. They have been deleted");
    expect(await push()).toMatchObject({ matched: 0, uploadedFiles: 1 });
  });
});

describe("with a fault on /v3/resource_matches, the push", () => {
  beforeEach(() => app.write("file", "known since long ago"));

  it.each<[string, Fault, RegExp]>([
    ["fails on an error in JSON", { status: 503 }, /resource_matches: 503 .*UnknownError/],
    ["fails on an error in HTML", { status: 502, body: "<h1>Bad Gateway</h1>" }, /502 <h1>Bad Gateway/],
    ["fails on a connection cut before the answer", { cut: "before" }, /hang up|ECONNRESET/],
    ["fails on a connection cut within the answer", { cut: "during" }, /aborted/],
    ["fails on malformed JSON", { malformed: true }, /can't be read/],
    [
      "fails on a warning with a bad escape",
      { headers: { "X-Cf-Warnings": "50%25,%zz" } },
      /invalid URL escape "%zz"/,
    ],
  ])("%s, and sends no request twice", async (_, fault, message) => {
    set({ "POST /v3/resource_matches": fault });
    await expect(push()).rejects.toThrow(message);
    expect(foundation.cloudController.stats.requests).toEqual({ "POST /v3/resource_matches": 1 });
  });

  it("waits for one that is late", async () => {
    set({ "/v3/resource_matches": { latency_ms: 300 } });
    expect((await push()).durations.match).toBeGreaterThanOrEqual(300);
  });

  it("uploads a file all the same when the answer names one that nobody asked for", async () => {
    set({ "/v3/resource_matches": { false_matches: "unrequested" } });
    // The stranger is then claimed in the upload.
    await expect(push()).rejects.toThrow("Could not find object");
  });

  it("reads warnings", async () => {
    set({ "/v3/resource_matches": { headers: { "X-Cf-Warnings": "one%2C+two, caf%C3%A9" } } });
    expect((await push()).warnings).toEqual(["one, two", "café"]);
  });
});

it("fails for a file that changes while it is pushed", async () => {
  await app.write("file");
  const entries = await gatherDirectory(app.path);
  await app.write("file", "other content");
  const archive = join(poolDirectory, "never.zip");
  await expect(archiveEntries(app.path, entries, archive)).rejects.toThrow(
    "file has changed while it was pushed",
  );
});

it("asks again for a package's state after an error, as cf CLI does with every GET", async () => {
  await app.write("file");
  set({ "GET /v3/packages/*": { status: 503, times: 2 } });
  await push();
});
