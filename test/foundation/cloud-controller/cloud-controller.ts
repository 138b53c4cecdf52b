import { mkdir, mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vcapRequestId } from "../../../src/http/request-id.ts";
import { locationOf } from "../http.ts";
import { listenOnLoopback } from "../loopback.ts";
import type { Uaa } from "../uaa/uaa.ts";
import { controlRoutes, guardedRoutes, openRoutes } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { Apps } from "./apps.ts";
import { bearerCheck } from "./bearer.ts";
import { applyFault, Faults } from "./faults.ts";
import { Packages } from "./packages.ts";
import { type PoolLimits, ResourcePool } from "./resource-pool.ts";
import { findRoute } from "./routes.ts";
import { spaceRoutes } from "./space-api.ts";
import { Stats } from "./stats.ts";

export interface CloudControllerLimits extends PoolLimits {
  /** Bytes of a package's files together. */
  maximumPackageSize: number;
}

/** Those of a stock foundation: the defaults of capi-release. */
export const DEFAULT_LIMITS: CloudControllerLimits = {
  minimumSize: 65_536,
  maximumSize: 512 * 1024 * 1024,
  maximumPackageSize: 1024 * 1024 * 1024,
};

export interface CloudControllerOptions {
  uaa: Pick<Uaa, "url" | "issuer">;
  /** The pool's root; each blob lies at `app_bits_cache/ab/cd/<sha1>` below it. */
  poolDirectory: string;
  limits?: Partial<CloudControllerLimits>;
  /** 0, the default, for a free one. */
  port?: number;
}

/** A local foundation for the Cloud Controller: resource matching, and packages that are really assembled. */
export interface CloudController {
  /** `http://localhost:<port>` */
  url: string;
  port: number;
  pool: ResourcePool;
  faults: Faults;
  stats: Stats;
  apps: Apps;
  packages: Packages;
  /** Names another URL in links and headers from now on, for instance that of a Worker before it. */
  setExternalUrl(url: string): void;
  close(): Promise<void>;
}

/** @throws PortTaken */
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
  const authenticate = bearerCheck(uaa);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? "GET";
    const { pathname } = locationOf(request);
    const command = findRoute(control, method, pathname);
    if (command) return command.handler({ request, response, guid: "", fault: undefined });

    const guardedRoute = findRoute(guarded, method, pathname);
    const route = guardedRoute ?? findRoute(open, method, pathname);
    stats.countRequest(route?.name ?? `${method} ${pathname}`, String(request.headers["x-b3-traceid"] ?? ""));
    response.setHeader("X-Vcap-Request-Id", vcapRequestId(headersOf(request)));

    const fault = faults.take(method, pathname);
    if (fault && (await applyFault(fault, request, response))) return;
    if (!route) throw new ApiError("not-found", "Unknown request");
    if (guardedRoute) await authenticate(request);
    await route.handler({ request, response, guid: route.guid, fault });
  }
  const listener: RequestListener = (request, response) => {
    answer(request, response).catch((error) => fail(request, response, error));
  };

  const close = async () => {
    await packages.waitForJobs();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const server = await listenOnLoopback(listener, port);
    externalUrl = server.url;
    return {
      url: server.url,
      port: server.port,
      ...{ pool, apps, packages, faults, stats },
      setExternalUrl(url) {
        externalUrl = url;
      },
      close: () => server.close().then(close),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function headersOf({ headers }: IncomingMessage): Headers {
  return new Headers(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  // The client must get rid of its body, or it never looks at the answer.
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
