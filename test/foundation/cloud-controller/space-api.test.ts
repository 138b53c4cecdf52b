import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type FoundationFixture, startFoundationFixture } from "../foundation-fixture.ts";
import { ORGANIZATION, SPACE } from "./space.ts";

let foundation: FoundationFixture;

beforeAll(async () => {
  foundation = await startFoundationFixture();
});
afterAll(() => foundation.close());

const send = (method: string, path: string, body?: string) =>
  foundation.send(method, path, body, { "Content-Type": "application/x-yaml" });
const applyManifest = (manifest: string) =>
  send("POST", `/v3/spaces/${SPACE.guid}/actions/apply_manifest`, manifest);
const listGuids = async (path: string) =>
  (await send("GET", path)).json.resources.map(({ guid }: { guid: string }) => guid);

it.each([
  [`/v3/organizations?names=${ORGANIZATION.name}`, [ORGANIZATION.guid]],
  ["/v3/organizations?names=other", []],
  [`/v3/spaces?names=${SPACE.name}&organization_guids=${ORGANIZATION.guid}`, [SPACE.guid]],
  [`/v3/spaces?organization_guids=${randomUUID()}`, []],
])("lists the resources that GET %s selects", async (path, guids) => {
  expect(await listGuids(path)).toEqual(guids);
});

it("creates an app of a manifest only once", async () => {
  const manifest =
    'applications:\n- name: web app\n  path: /some/where\n- name: "123"\n  processes:\n  - type: web\n';
  const { status, headers } = await applyManifest(manifest);
  expect(status).toBe(202);
  const job = (headers.get("Location") ?? "").replace(foundation.cloudController.url, "");
  expect(await send("GET", job)).toMatchObject({ status: 200, json: { state: "COMPLETE", errors: [] } });

  const created = await listGuids("/v3/apps?names=web+app,123");
  expect(created).toHaveLength(2);
  await applyManifest(manifest);
  expect(await listGuids(`/v3/apps?space_guids=${SPACE.guid}`)).toEqual(created);
});

it("lists only the missing apps in manifest_diff", async () => {
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
  const [guid] = await listGuids("/v3/apps?names=stopped");
  expect(await listGuids(`/v3/apps/${guid}/processes`)).toEqual([guid]);
  expect(await send("GET", `/v3/processes/${guid}`)).toMatchObject({
    json: { guid, type: "web", instances: 1 },
  });
  expect(await send("GET", `/v3/processes/${guid}/stats`)).toMatchObject({
    json: { resources: [{ type: "web", index: 0, state: "DOWN" }] },
  });
  for (const path of ["processes/:guid/sidecars", "apps/:guid/routes", "deployments"]) {
    expect(await listGuids(`/v3/${path.replace(":guid", guid)}`)).toEqual([]);
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
])("returns 404 to %s %s for an unknown GUID", async (method, path, detail) => {
  const body = method === "POST" ? "applications:\n- name: app\n" : undefined;
  expect(await send(method, path.replace(":guid", randomUUID()), body)).toMatchObject({
    status: 404,
    json: { errors: [{ title: "CF-ResourceNotFound", detail }] },
  });
});

it("returns 422 for a manifest without an app", async () => {
  expect(await applyManifest("applications: []\n")).toMatchObject({ status: 422 });
});

it("uses its external URL in links and in the Location of a job", async () => {
  foundation.cloudController.setExternalUrl("https://api.example.com");
  try {
    expect((await send("GET", "/")).json.links.self.href).toBe("https://api.example.com");
    const { headers } = await applyManifest("applications:\n- name: app\n");
    expect(headers.get("Location")).toMatch(/^https:\/\/api\.example\.com\/v3\/jobs\//);
  } finally {
    foundation.cloudController.setExternalUrl(foundation.cloudController.url);
  }
});
