import { mkdir, mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vcapRequestId } from "../../../src/http/request-id.ts";
import { parseUrl } from "../http.ts";
import { listenOnLoopback } from "../loopback.ts";
import type { Uaa } from "../uaa/uaa.ts";
import { controlRoutes, guardedRoutes, openRoutes } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { Apps } from "./apps.ts";
import { createAuthenticator } from "./bearer.ts";
import { applyFault, Faults } from "./faults.ts";
import { Packages } from "./packages.ts";
import { type PoolLimits, ResourcePool } from "./resource-pool.ts";
import { findRoute } from "./routes.ts";
import { spaceRoutes } from "./space-api.ts";
import { Stats } from "./stats.ts";

export interface CloudControllerLimits extends PoolLimits {
  /** Sum of the sizes of a package's files, in bytes. */
  maximumPackageSize: number;
}

/** The defaults of capi-release. */
export const DEFAULT_LIMITS: CloudControllerLimits = {
  minimumSize: 65_536,
  maximumSize: 512 * 1024 * 1024,
  maximumPackageSize: 1024 * 1024 * 1024,
};

export interface CloudControllerOptions {
  uaa: Pick<Uaa, "url" | "issuer" | "signingKey">;
  /** The pool's root directory. A blob is stored at `app_bits_cache/ab/cd/<sha1>` below it. */
  poolDirectory: string;
  limits?: Partial<CloudControllerLimits>;
  /** Default: 0, a free port. */
  port?: number;
}

/** A simulated Cloud Controller. It matches resources, and assembles packages as the real one does. */
export interface CloudController {
  /** `http://localhost:<port>` */
  url: string;
  port: number;
  pool: ResourcePool;
  faults: Faults;
  stats: Stats;
  apps: Apps;
  packages: Packages;
  /** Sets the URL that links and headers name, for instance the URL of a Worker in front of it. */
  setExternalUrl(url: string): void;
  close(): Promise<void>;
}

/** @throws PortInUse */
export async function startCloudController(options: CloudControllerOptions): Promise<CloudController> {
  const { uaa, poolDirectory, port = 0 } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const directory = await mkdtemp(join(tmpdir(), "cloud-controller-"));
  await mkdir(poolDirectory, { recursive: true });
  const pool = new ResourcePool(poolDirectory, limits);
  const packages = new Packages(directory, { pool, maximumPackageSize: limits.maximumPackageSize });
  const apps = new Apps();
  const faults = new Faults();
  const stats = new Stats();

  let externalUrl = "";
  const api = { baseUrl: () => externalUrl, uaaUrl: uaa.url, pool, apps, packages, faults, stats, directory };
  const control = controlRoutes(api);
  const open = openRoutes(api);
  const guarded = { ...guardedRoutes(api), ...spaceRoutes(api) };
  const authenticate = createAuthenticator(uaa);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? "GET";
    const { pathname } = parseUrl(request);
    const controlRoute = findRoute(control, method, pathname);
    if (controlRoute) return controlRoute.handler({ request, response, guid: "", fault: undefined });

    const guardedRoute = findRoute(guarded, method, pathname);
    const route = guardedRoute ?? findRoute(open, method, pathname);
    stats.countRequest(route?.name ?? `${method} ${pathname}`, String(request.headers["x-b3-traceid"] ?? ""));
    response.setHeader("X-Vcap-Request-Id", vcapRequestId(toHeaders(request)));

    const fault = faults.take(method, pathname);
    if (fault && (await applyFault(fault, request, response))) return;
    if (!route) throw new ApiError("not-found", "Unknown request");
    if (guardedRoute) await authenticate(request);
    await route.handler({ request, response, guid: route.guid, fault });
  }
  const listener: RequestListener = (request, response) => {
    handle(request, response).catch((error) => sendError(request, response, error));
  };

  const cleanUp = async () => {
    await packages.waitForJobs();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const server = await listenOnLoopback(listener, port);
    externalUrl = server.url;
    return {
      url: server.url,
      port: server.port,
      pool,
      apps,
      packages,
      faults,
      stats,
      setExternalUrl(url) {
        externalUrl = url;
      },
      close: () => server.close().then(cleanUp),
    };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

function toHeaders({ headers }: IncomingMessage): Headers {
  return new Headers(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function sendError(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  // A client may read the response only after it has sent its whole body.
  request.resume();
  if (response.headersSent || request.socket.destroyed) {
    response.destroy();
  } else if (error instanceof ApiError) {
    error.send(response);
  } else {
    console.error(error);
    new ApiError("unknown", "An unknown error occurred.").send(response);
  }
}
