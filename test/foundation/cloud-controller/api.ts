import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { readBody, sendJson } from "../http.ts";
import { ApiError } from "./api-error.ts";
import { addFalseMatches, type Fault, type Faults } from "./faults.ts";
import { parseFingerprints } from "./fingerprints.ts";
import { type Packages, presentPackage } from "./packages.ts";
import { matchResources, parseRequest, presentMatch } from "./resource-matching.ts";
import type { ResourcePool } from "./resource-pool.ts";
import type { Routes } from "./routes.ts";
import type { Stats } from "./stats.ts";
import { receiveUpload } from "./upload.ts";

export interface ApiOptions {
  /** URL of the API. It is known only when the server listens. */
  baseUrl: () => string;
  uaaUrl: string;
  pool: ResourcePool;
  packages: Packages;
  stats: Stats;
  faults: Faults;
  /** Stores uploads until they are processed. */
  directory: string;
}

/** Endpoints without a token: cf CLI reads the URLs of the APIs from them. */
export function openRoutes({ baseUrl, uaaUrl }: ApiOptions): Routes {
  return {
    "GET /": ({ response }) =>
      sendJson(response, 200, {
        links: {
          self: { href: baseUrl() },
          cloud_controller_v2: null,
          cloud_controller_v3: { href: `${baseUrl()}/v3`, meta: { version: "3.228.0" } },
          login: { href: uaaUrl },
          uaa: { href: uaaUrl },
        },
      }),
    "GET /v3": ({ response }) => sendJson(response, 200, { links: { self: { href: `${baseUrl()}/v3` } } }),
  };
}

/** Endpoints that need a token. */
export function guardedRoutes({ baseUrl, pool, packages, stats, directory }: ApiOptions): Routes {
  return {
    "POST /v3/resource_matches": async ({ request, response, fault }) => {
      const requested = parseRequest(await readBody(request));
      if (fault?.resource_ms !== undefined) await pause(fault.resource_ms * requested.length);
      const found = matchResources(pool, requested);
      const kind = fault?.false_matches;
      const resources = kind ? addFalseMatches(kind, requested.map(presentMatch), found) : found;
      stats.countResources(requested.length, resources.length);
      sendJson(response, 201, { resources });
    },
    // Always enabled, as in a stock foundation. A test disables them with a fault that replaces this response.
    "GET /v3/feature_flags": ({ response }) =>
      sendJson(response, 200, {
        resources: ["app_bits_upload", "resource_matching"].map((name) => ({ name, enabled: true })),
      }),
    "POST /v3/packages": async ({ request, response }) => {
      const created = packages.create(parseJson(await readBody(request)));
      sendJson(response, 201, presentPackage(created, baseUrl()));
    },
    "GET /v3/packages/:guid": ({ response, guid }) => {
      sendJson(response, 200, presentPackage(packages.find(guid), baseUrl()));
    },
    "POST /v3/packages/:guid/upload": async ({ request, response, guid }) => {
      const { resources, bits } = await receiveUpload(request, directory);
      try {
        const fingerprints = resources === "" ? [] : parseFingerprints(resources);
        if (bits === undefined && fingerprints.length === 0) {
          throw new ApiError("unprocessable", "Upload must include either resources or bits");
        }
        const item = packages.find(guid);
        packages.upload(item, bits, fingerprints);
        sendJson(response, 200, presentPackage(item, baseUrl()));
      } catch (error) {
        if (bits !== undefined) await rm(bits, { force: true });
        throw error;
      }
    },
    "GET /v3/packages/:guid/download": async ({ response, guid }) => {
      const item = packages.find(guid);
      if (item.state !== "READY") throw new ApiError("unprocessable", "Package has no bits to download.");
      response.writeHead(200, { "Content-Type": "application/zip" });
      await pipeline(createReadStream(packages.archiveOf(item)), response);
    },
  };
}

/** Endpoints with which a test sets faults and reads statistics. The real Cloud Controller does not have them. */
export function controlRoutes({ faults, stats }: ApiOptions): Routes {
  return {
    "PUT /__faults": async ({ request, response }) => {
      faults.set(parseJson(await readBody(request)) as Record<string, Fault>);
      response.writeHead(204).end();
    },
    "DELETE /__faults": ({ response }) => {
      faults.set({});
      response.writeHead(204).end();
    },
    "GET /__stats": ({ response }) => sendJson(response, 200, stats),
    "DELETE /__stats": ({ response }) => {
      stats.reset();
      response.writeHead(204).end();
    },
  };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new ApiError("message-parse-error", "Request invalid due to parse error: invalid request body");
  }
}
