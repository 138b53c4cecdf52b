import { createHash, randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { decodeProtectedHeader } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import contract from "../../contract/cloud-controller-cases.json" with { type: "json" };
import { createApp } from "../../support/node/app-fixture.ts";
import { push } from "../cf-push/push-client.ts";
import { startFoundation } from "../foundation.ts";
import { type FoundationFixture, startFoundationFixture } from "../foundation-fixture.ts";
import { isPortFree } from "../loopback.ts";
import { startUaa } from "../uaa/uaa.ts";
import { startCloudController } from "./cloud-controller.ts";

const PRESENT_SHA1 = "5b0e6a95648b2ee1b949ce86aa16ef497af1d66a";

let foundation: FoundationFixture;
let send: FoundationFixture["send"];

beforeAll(async () => {
  foundation = await startFoundationFixture({ minimumSize: 0 });
  send = foundation.send;
});

afterAll(() => foundation.close());

beforeEach(async () => {
  // Written before each test, because an upload that names them deletes them: their content has another SHA-1.
  const { cloudController } = foundation;
  for (const { sha1 } of contract.pool) {
    const path = cloudController.pool.pathOf(sha1) as string;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "only the name matters");
  }
  cloudController.faults.set({});
  cloudController.stats.reset();
});

interface Case {
  body: string | null;
  repeat?: { resource: object; times: number; then?: object };
}

function expandBody({ body, repeat }: Case): string {
  if (!repeat) return body ?? "";
  const resources: object[] = Array(repeat.times).fill(repeat.resource);
  return JSON.stringify({ resources: repeat.then ? [...resources, repeat.then] : resources });
}

const resource = (changes: object = {}) => ({
  checksum: { value: PRESENT_SHA1 },
  size_in_bytes: 150,
  path: "p",
  mode: "644",
  ...changes,
});
const match = (...resources: object[]) => send("POST", "/v3/resource_matches", JSON.stringify({ resources }));
const setFaults = (faults: object) => send("PUT", "/__faults", JSON.stringify(faults));

describe("POST /v3/resource_matches", () => {
  it.each(contract.cases.filter((entry) => !("differs" in entry)))(
    "returns the recorded response: $name",
    async (entry) => {
      const { status, text } = await send("POST", "/v3/resource_matches", expandBody(entry));
      // The text is compared, because parsing would change numbers of 30 digits.
      expect({ status, text }).toEqual({ status: entry.status, text: JSON.stringify(entry.response) });
    },
  );

  it("groups the response by size class, in the order of the first resource of each class", async () => {
    const sizes = [2048, 10, 200_000, 1024, 1023];
    const { json } = await match(...sizes.map((size_in_bytes) => resource({ size_in_bytes })));
    expect(json.resources.map((matched: { size_in_bytes: number }) => matched.size_in_bytes)).toEqual([
      2048, 1024, 10, 1023, 200_000,
    ]);
  });

  it("ignores the size of the blob, and returns null for a path that was not sent", async () => {
    const { json } = await match(resource({ size_in_bytes: 7, path: undefined }));
    expect(json).toEqual({ resources: [resource({ size_in_bytes: 7, path: null })] });
  });

  it.each(["150.0", "15e1"])("refuses the size %s, which is no integer in Ruby", async (size) => {
    const body = JSON.stringify({ resources: [resource()] }).replace("150", size);
    const response = await send("POST", "/v3/resource_matches", body);
    expect(response).toMatchObject({
      status: 422,
      text: expect.stringContaining("a non-integer size_in_bytes"),
    });
  });

  it.each([
    ["444", false],
    ["577", false],
    ["600", true],
    ["755", true],
    ["100444", true],
    [null, false],
    [undefined, false],
  ])("compares the mode %s as a number with 0600", async (mode, isMatched) => {
    expect((await match(resource({ mode }))).json.resources).toHaveLength(isMatched ? 1 : 0);
  });

  it.each([
    [0, false],
    [1, true],
    [536_870_911, true],
    [536_870_912, false],
  ])("matches only sizes between the limits: %d bytes", async (size_in_bytes, isMatched) => {
    expect((await match(resource({ size_in_bytes }))).json.resources).toHaveLength(isMatched ? 1 : 0);
  });
});

it.each([
  [{ Authorization: "" }, 401, 10002],
  [{ Authorization: "bearer garbage" }, 401, 1000],
])("returns 401 for %j", async (headers, status, code) => {
  const response = await send("POST", "/v3/resource_matches", "{}", headers);
  expect(response).toMatchObject({ status, json: { errors: [{ code }] } });
});

it("requires the write scope for a POST and the read scope for a GET", async () => {
  const Authorization = `bearer ${await foundation.uaa.issueToken({ scopes: ["cloud_controller.read"] })}`;
  expect(await send("POST", "/v3/packages", "{}", { Authorization })).toMatchObject({ status: 403 });
  expect(await send("GET", `/v3/packages/${randomUUID()}`, undefined, { Authorization })).toMatchObject({
    status: 404,
    json: { errors: [{ title: "CF-ResourceNotFound", detail: "Package not found" }] },
  });
});

it("accepts only tokens with the shared secret if UAA signs with HS256", async () => {
  const poolDirectory = await mkdtemp(join(tmpdir(), "pool-"));
  const symmetric = await startFoundation({ poolDirectory, signing: "HS256" });
  const other = await startUaa({ signing: "HS256" });
  const { uaa, cloudController } = symmetric;
  const statusFor = async (token: string) => {
    expect(decodeProtectedHeader(token).alg).toBe("HS256");
    const headers = { Authorization: `bearer ${token}` };
    return (await fetch(`${cloudController.url}/v3/apps`, { headers })).status;
  };
  expect(await statusFor(await uaa.issueToken())).toBe(200);
  expect(await statusFor(await other.issueToken({ issuer: uaa.issuer }))).toBe(401);
  await Promise.all([symmetric.close(), other.close()]);
  await rm(poolDirectory, { recursive: true });
});

it("returns the URLs of the APIs and the request id, and 404 for an unknown path", async () => {
  const { json, headers } = await send("GET", "/", undefined, { "X-Vcap-Request-Id": "mine" });
  expect(json.links).toMatchObject({
    cloud_controller_v3: { href: `${foundation.cloudController.url}/v3` },
    uaa: { href: foundation.uaa.url },
  });
  expect(headers.get("X-Vcap-Request-Id")).toMatch(/^mine::[0-9a-f-]{36}$/);
  expect(await send("GET", "/v3/buildpacks")).toMatchObject({
    status: 404,
    json: { errors: [{ code: 10000 }] },
  });
});

describe("a package", () => {
  const create = async () => {
    const body = { type: "bits", relationships: { app: { data: { guid: randomUUID() } } } };
    const { status, json } = await send("POST", "/v3/packages", JSON.stringify(body));
    expect({ status, state: json.state }).toEqual({ status: 201, state: "AWAITING_UPLOAD" });
    return json.guid as string;
  };
  const upload = (guid: string, parts: { resources?: string; bits?: Blob }) => {
    const form = new FormData();
    if (parts.resources !== undefined) form.set("resources", parts.resources);
    if (parts.bits) form.set("bits", parts.bits, "package.zip");
    return send("POST", `/v3/packages/${guid}/upload`, form);
  };
  const waitForPackage = async (guid: string) => {
    for (;;) {
      const { json } = await send("GET", `/v3/packages/${guid}`);
      if (json.state !== "PROCESSING_UPLOAD") return { state: json.state, error: json.data.error };
    }
  };

  it("returns 422 for a package without a type or an app", async () => {
    expect((await send("POST", "/v3/packages", JSON.stringify({ type: "bits" }))).status).toBe(422);
    expect((await send("POST", "/v3/packages", JSON.stringify({ type: "zip" }))).status).toBe(422);
  });

  it.each([
    [{}, "Upload must include either resources or bits"],
    [{ resources: "[]" }, "Upload must include either resources or bits"],
    [{ resources: "[" }, "Resources must be valid JSON."],
    [{ resources: '{"a":1}' }, "Resources must be valid JSON."],
  ])("returns 422 for an upload of %j", async (parts, detail) => {
    const guid = await create();
    expect(await upload(guid, parts)).toMatchObject({ status: 422, json: { errors: [{ detail }] } });
    expect(await send("GET", `/v3/packages/${guid}/download`)).toMatchObject({ status: 422 });
  });

  it("returns 400 for a second upload", async () => {
    const guid = await create();
    const resources = JSON.stringify([resource()]);
    expect(await upload(guid, { resources })).toMatchObject({
      status: 200,
      json: { state: "PROCESSING_UPLOAD" },
    });
    expect(await upload(guid, { resources })).toMatchObject({
      status: 400,
      json: { errors: [{ code: 150004 }] },
    });
    await waitForPackage(guid);
  });

  it.each([
    [
      resource({ mode: "444" }),
      "The resource file mode is invalid: File mode '444' with path 'p' is invalid. Minimum file mode is '0600'",
    ],
    [resource({ path: "../p" }), "The resource file path is invalid: File path '../p' is not safe."],
    [resource({ path: "/p" }), "The resource file path is invalid: File path '/p' is not safe."],
    [resource({ checksum: { value: "a".repeat(40) } }), `Could not find object '${"a".repeat(40)}'`],
    [{ sha1: "b".repeat(40), size: 1, fn: "p" }, `Could not find object '${"b".repeat(40)}'`],
  ])("fails a package if the upload names %j", async (fingerprint, error) => {
    const guid = await create();
    await upload(guid, { resources: JSON.stringify([fingerprint]) });
    expect(await waitForPackage(guid)).toEqual({ state: "FAILED", error });
  });

  it("fails a package if the uploaded bits are no archive", async () => {
    const guid = await create();
    await upload(guid, { bits: new Blob(["no archive"]) });
    expect(await waitForPackage(guid)).toEqual({
      state: "FAILED",
      error: "The app upload is invalid: Invalid zip archive.",
    });
  });
});

describe("limits", () => {
  const blobPath = (content: string) => {
    const sha1 = createHash("sha1").update(content).digest("hex");
    return `app_bits_cache/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`;
  };
  const listBlobs = async (poolDirectory: string) => {
    const entries = await readdir(poolDirectory, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return files.map(({ parentPath, name }) => relative(poolDirectory, join(parentPath, name))).sort();
  };

  it("stores files of exactly the minimum or maximum size, and rejects a larger package", async () => {
    const poolDirectory = await mkdtemp(join(tmpdir(), "pool-"));
    const limits = { minimumSize: 10, maximumSize: 20, maximumPackageSize: 100 };
    const limited = await startCloudController({ uaa: foundation.uaa, poolDirectory, limits });
    const app = await createApp();
    for (const size of [9, 10, 20, 21]) await app.write(String(size), "x".repeat(size));
    const target = { url: limited.url, token: foundation.token };
    await push(app.path, target);
    expect(await listBlobs(poolDirectory)).toEqual(["x".repeat(10), "x".repeat(20)].map(blobPath).sort());
    expect(await push(app.path, target)).toMatchObject({ requested: 4, matched: 0 });

    await app.write("too much", "x".repeat(41));
    await expect(push(app.path, target)).rejects.toThrow("Package may not be larger than 100 bytes");
    await app.remove();
    await limited.close();
    await rm(poolDirectory, { recursive: true });
  });

  it("uses the limits of a stock foundation by default: 65536 bytes are stored but not matched", async () => {
    const poolDirectory = await mkdtemp(join(tmpdir(), "pool-"));
    const stock = await startCloudController({ uaa: foundation.uaa, poolDirectory });
    const app = await createApp();
    const contents = [65_535, 65_536, 65_537].map((size) => "x".repeat(size));
    for (const content of contents) await app.write(String(content.length), content);
    const target = { url: stock.url, token: foundation.token };
    await push(app.path, target);
    expect(await listBlobs(poolDirectory)).toEqual(contents.slice(1).map(blobPath).sort());
    expect(await push(app.path, target)).toMatchObject({ requested: 3, matched: 1, uploadedFiles: 2 });
    await app.remove();
    await stock.close();
    await rm(poolDirectory, { recursive: true });
  });
});

describe("faults", () => {
  it.each<[string, object, object]>([
    ["a status with JSON", { status: 429, body: { errors: [] } }, { status: 429, json: { errors: [] } }],
    ["a status with HTML", { status: 504, body: "<html>" }, { status: 504, text: "<html>" }],
    ["malformed JSON", { malformed: true }, { status: 201, json: undefined }],
    [
      "matches for all resources",
      { false_matches: "all" },
      { status: 201, json: { resources: [resource(), resource({ checksum: { value: "c".repeat(40) } })] } },
    ],
  ])("replaces the response by %s until the faults are deleted", async (_, fault, expected) => {
    await setFaults({ "/v3/resource_matches": fault });
    const resources = [resource(), resource({ checksum: { value: "c".repeat(40) } })];
    expect(await match(...resources)).toMatchObject(expected);
    expect((await send("GET", "/v3")).status).toBe(200);
    await send("DELETE", "/__faults");
    expect((await match(...resources)).json.resources).toHaveLength(1);
  });

  it("adds a match for a resource that was not requested, as a fault", async () => {
    await setFaults({ "/v3/resource_matches": { false_matches: "unrequested" } });
    const { json } = await match(resource());
    expect(json.resources).toEqual([
      resource(),
      resource({ checksum: { value: expect.any(String) }, size_in_bytes: 1, path: "unrequested" }),
    ]);
  });

  it.each(["before", "during"])("cuts the connection %s the response, as a fault", async (cut) => {
    await setFaults({ "/v3/resource_matches": { cut } });
    await expect(match(resource())).rejects.toThrow();
  });

  it("hangs until the server is closed, as a fault", async () => {
    const other = await startCloudController({
      uaa: foundation.uaa,
      poolDirectory: foundation.poolDirectory,
    });
    other.faults.set({ "*": { hang: true } });
    const outcome = fetch(other.url).then(
      () => "response",
      () => "cut",
    );
    while (other.stats.requests["GET /"] === undefined) await new Promise(setImmediate);
    await other.close();
    expect(await outcome).toBe("cut");
    expect(await isPortFree(other.port)).toBe(true);
  });

  it("delays the response, as a fault", async () => {
    await setFaults({ "/v3*": { latency_ms: 200 } });
    const start = performance.now();
    await match(resource());
    expect(performance.now() - start).toBeGreaterThanOrEqual(199);
  });
});

it("counts requests by path and trace id, and resources, until it is reset", async () => {
  await match(resource(), resource({ checksum: { value: "d".repeat(40) } }));
  await send("GET", `/v3/packages/${randomUUID()}`, undefined, { "X-B3-TraceId": "7".repeat(32) });
  expect((await send("GET", "/__stats")).json).toEqual({
    requests: { "POST /v3/resource_matches": 1, "GET /v3/packages/:guid": 1 },
    traces: { "": ["POST /v3/resource_matches"], ["7".repeat(32)]: ["GET /v3/packages/:guid"] },
    resources: { requested: 2, matched: 1 },
    resourcesPerRequest: [2],
  });
  await send("DELETE", "/__stats");
  expect((await send("GET", "/__stats")).json).toEqual({
    requests: {},
    traces: {},
    resources: { requested: 0, matched: 0 },
    resourcesPerRequest: [],
  });
});
