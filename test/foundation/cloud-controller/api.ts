import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { readBody, sendJson } from "../http.ts";
import { ApiError } from "./api-error.ts";
import { addFalseMatches, type Fault, type Faults } from "./faults.ts";
import { parseFingerprints } from "./fingerprints.ts";
import { type Packages, presentPackage } from "./packages.ts";
import { echo, matchResources, requestedResources } from "./resource-matching.ts";
import type { ResourcePool } from "./resource-pool.ts";
import type { Routes } from "./routes.ts";
import type { Stats } from "./stats.ts";
import { receiveUpload } from "./upload.ts";

export interface ApiOptions {
  /** That of the API itself; not known before it listens. */
  baseUrl: () => string;
  uaaUrl: string;
  pool: ResourcePool;
  packages: Packages;
  stats: Stats;
  faults: Faults;
  /** For uploads that are being received. */
  directory: string;
}

/** What is answered without a token: where cf CLI learns what is where. */
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

/** What takes a token. */
export function guardedRoutes({ baseUrl, pool, packages, stats, directory }: ApiOptions): Routes {
  return {
    "POST /v3/resource_matches": async ({ request, response, fault }) => {
      const asked = requestedResources(await readBody(request));
      if (fault?.resource_ms !== undefined) await pause(fault.resource_ms * asked.length);
      const matched = await matchResources(pool, asked);
      const answer = fault?.false_matches
        ? addFalseMatches(fault.false_matches, asked.map(echo), matched)
        : matched;
      stats.countResources(asked.length, answer.length);
      sendJson(response, 201, { resources: answer });
    },
    // As a stock foundation has them; only a fault says otherwise, for nothing here heeds them.
    "GET /v3/feature_flags": ({ response }) =>
      sendJson(response, 200, {
        resources: ["app_bits_upload", "resource_matching"].map((name) => ({ name, enabled: true })),
      }),
    "POST /v3/packages": async ({ request, response }) => {
      const created = packages.create(jsonOf(await readBody(request)));
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

/** The test's own hand on the local foundation; not part of any Cloud Controller. */
export function controlRoutes({ faults, stats }: ApiOptions): Routes {
  return {
    "PUT /__faults": async ({ request, response }) => {
      faults.set(jsonOf(await readBody(request)) as Record<string, Fault>);
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

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new ApiError("message-parse-error", "Request invalid due to parse error: invalid request body");
  }
}
