import { randomUUID } from "node:crypto";
import { readBody, sendJson } from "../http.ts";
import { ApiError } from "./api-error.ts";
import { type Apps, presentApp } from "./apps.ts";
import { isSelected, presentPage } from "./pages.ts";
import { presentProcess, presentStoppedStats } from "./processes.ts";
import type { Handler, Routes } from "./routes.ts";
import { ORGANIZATION, presentOrganization, presentSpace, SPACE } from "./space.ts";

export interface SpaceApiOptions {
  /** URL of the API. */
  baseUrl: () => string;
  apps: Apps;
}

/** Endpoints that cf uses besides packages and matches: to log in, to select a target, and to push an app without a start. */
export function spaceRoutes({ baseUrl, apps }: SpaceApiOptions): Routes {
  /** All jobs are complete: a manifest is applied before the response names its job. */
  const jobs = new Set<string>();

  const emptyPage: Handler = ({ request, response, guid }) => {
    if (guid !== "") apps.find(guid);
    sendJson(response, 200, presentPage([], request, baseUrl()));
  };

  return {
    "GET /v3/organizations": ({ request, response }) => {
      const found = isSelected(request, "names", ORGANIZATION.name) ? [presentOrganization(baseUrl())] : [];
      sendJson(response, 200, presentPage(found, request, baseUrl()));
    },
    "GET /v3/spaces": ({ request, response }) => {
      const isFound =
        isSelected(request, "names", SPACE.name) &&
        isSelected(request, "organization_guids", ORGANIZATION.guid);
      sendJson(response, 200, presentPage(isFound ? [presentSpace(baseUrl())] : [], request, baseUrl()));
    },
    "POST /v3/spaces/:guid/manifest_diff": async ({ request, response, guid }) => {
      checkSpace(guid);
      sendJson(response, 201, { diff: apps.diff((await readBody(request)).toString()) });
    },
    "POST /v3/spaces/:guid/actions/apply_manifest": async ({ request, response, guid }) => {
      checkSpace(guid);
      apps.apply((await readBody(request)).toString());
      const job = randomUUID();
      jobs.add(job);
      response.writeHead(202, { Location: `${baseUrl()}/v3/jobs/${job}`, "Content-Length": 0 }).end();
    },
    "GET /v3/jobs/:guid": ({ response, guid }) => {
      if (!jobs.has(guid)) throw new ApiError("resource-not-found", "Job not found");
      const links = { self: { href: `${baseUrl()}/v3/jobs/${guid}` } };
      const operation = "space.apply_manifest";
      sendJson(response, 200, { guid, operation, state: "COMPLETE", errors: [], warnings: [], links });
    },
    "GET /v3/apps": ({ request, response }) => {
      const found = apps
        .list()
        .filter(({ name }) => isSelected(request, "names", name))
        .filter(() => isSelected(request, "space_guids", SPACE.guid));
      const presented = found.map((app) => presentApp(app, baseUrl()));
      sendJson(response, 200, presentPage(presented, request, baseUrl()));
    },
    "GET /v3/apps/:guid/processes": ({ request, response, guid }) => {
      const processes = [presentProcess(apps.find(guid), baseUrl())];
      sendJson(response, 200, presentPage(processes, request, baseUrl()));
    },
    "GET /v3/processes/:guid": ({ response, guid }) => {
      sendJson(response, 200, presentProcess(apps.find(guid), baseUrl()));
    },
    "GET /v3/processes/:guid/stats": ({ response, guid }) => {
      apps.find(guid);
      sendJson(response, 200, presentStoppedStats());
    },
    "GET /v3/processes/:guid/sidecars": emptyPage,
    "GET /v3/apps/:guid/routes": emptyPage,
    "GET /v3/apps/:guid/droplets/current": () => {
      throw new ApiError("resource-not-found", "Droplet not found");
    },
    "GET /v3/deployments": emptyPage,
  };
}

function checkSpace(guid: string): void {
  if (guid !== SPACE.guid) throw new ApiError("resource-not-found", "Space not found");
}
