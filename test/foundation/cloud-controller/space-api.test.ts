import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startUaa, type Uaa } from "../uaa/uaa.ts";
import { type CloudController, startCloudController } from "./cloud-controller.ts";
import { ORGANIZATION, SPACE } from "./space.ts";

let uaa: Uaa;
let cloudController: CloudController;
let directory: string;
let token: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pool-"));
  uaa = await startUaa();
  cloudController = await startCloudController({ uaa, poolDirectory: directory });
  token = await uaa.issueToken();
});
afterAll(async () => {
  await Promise.all([uaa.close(), cloudController.close()]);
  await rm(directory, { recursive: true });
});

async function send(method: string, path: string, body?: string) {
  const headers = { Authorization: `bearer ${token}`, "Content-Type": "application/x-yaml" };
  const response = await fetch(cloudController.url + path, { method, headers, body: body ?? null });
  const text = await response.text();
  return { status: response.status, headers: response.headers, json: text ? JSON.parse(text) : null };
}

const applyManifest = (manifest: string) =>
  send("POST", `/v3/spaces/${SPACE.guid}/actions/apply_manifest`, manifest);
const guidsOf = async (path: string) =>
  (await send("GET", path)).json.resources.map(({ guid }: { guid: string }) => guid);

it.each([
  [`/v3/organizations?names=${ORGANIZATION.name}`, [ORGANIZATION.guid]],
  ["/v3/organizations?names=other", []],
  [`/v3/spaces?names=${SPACE.name}&organization_guids=${ORGANIZATION.guid}`, [SPACE.guid]],
  [`/v3/spaces?organization_guids=${randomUUID()}`, []],
])("lists what GET %s selects", async (path, guids) => {
  expect(await guidsOf(path)).toEqual(guids);
});

it("creates the apps that a manifest names, once", async () => {
  const manifest =
    'applications:\n- name: web app\n  path: /some/where\n- name: "123"\n  processes:\n  - type: web\n';
  const { status, headers } = await applyManifest(manifest);
  expect(status).toBe(202);
  const job = (headers.get("Location") ?? "").replace(cloudController.url, "");
  expect(await send("GET", job)).toMatchObject({ status: 200, json: { state: "COMPLETE", errors: [] } });

  const created = await guidsOf("/v3/apps?names=web+app,123");
  expect(created).toHaveLength(2);
  await applyManifest(manifest);
  expect(await guidsOf(`/v3/apps?space_guids=${SPACE.guid}`)).toEqual(created);
});

it("lists in manifest_diff only the apps that do not exist", async () => {
  await applyManifest("applications:\n- name: old\n");
  const { status, json } = await send(
    "POST",
    `/v3/spaces/${SPACE.guid}/manifest_diff`,
    "applications:\n- name: old\n- name: new\n",
  );
  expect({ status, json }).toEqual({
    status: 201,
    json: { diff: [{ op: "add", path: "/applications/1/name", value: "new" }] },
  });
});

it("presents the process of an app as stopped", async () => {
  await applyManifest("applications:\n- name: stopped\n");
  const [guid] = await guidsOf("/v3/apps?names=stopped");
  expect(await guidsOf(`/v3/apps/${guid}/processes`)).toEqual([guid]);
  expect(await send("GET", `/v3/processes/${guid}`)).toMatchObject({
    json: { guid, type: "web", instances: 1 },
  });
  expect(await send("GET", `/v3/processes/${guid}/stats`)).toMatchObject({
    json: { resources: [{ type: "web", index: 0, state: "DOWN" }] },
  });
  for (const path of ["processes/:guid/sidecars", "apps/:guid/routes", "deployments"]) {
    expect(await guidsOf(`/v3/${path.replace(":guid", guid)}`)).toEqual([]);
  }
});

it.each([
  ["GET", "/v3/apps/:guid/processes", "App not found"],
  ["GET", "/v3/apps/:guid/routes", "App not found"],
  ["GET", "/v3/apps/:guid/droplets/current", "Droplet not found"],
  ["GET", "/v3/processes/:guid/stats", "App not found"],
  ["GET", "/v3/jobs/:guid", "Job not found"],
  ["POST", "/v3/spaces/:guid/actions/apply_manifest", "Space not found"],
  ["POST", "/v3/spaces/:guid/manifest_diff", "Space not found"],
])("returns 404 to %s %s of what does not exist", async (method, path, detail) => {
  const body = method === "POST" ? "applications:\n- name: app\n" : undefined;
  expect(await send(method, path.replace(":guid", randomUUID()), body)).toMatchObject({
    status: 404,
    json: { errors: [{ title: "CF-ResourceNotFound", detail }] },
  });
});

it("returns 422 to a manifest that names no app", async () => {
  expect(await applyManifest("applications: []\n")).toMatchObject({ status: 422 });
});

it("names its external URL in links, and in the Location of a job", async () => {
  cloudController.setExternalUrl("https://api.example.com");
  try {
    expect((await send("GET", "/")).json.links.self.href).toBe("https://api.example.com");
    const { headers } = await applyManifest("applications:\n- name: app\n");
    expect(headers.get("Location")).toMatch(/^https:\/\/api\.example\.com\/v3\/jobs\//);
  } finally {
    cloudController.setExternalUrl(cloudController.url);
  }
});
