import { randomBytes } from "node:crypto";
import { PROBE_HEADER } from "../../http/probe.ts";
import { VIA } from "../../http/via.ts";
import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import type { Endpoint } from "./endpoint.ts";
import { type ApiResponse, jsonOf, send } from "./send.ts";

export const LOAD_BALANCER_RULE =
  "A load balancer must send requests with the header CF-Worker, or with resource-matches in Via, to the Cloud Controller.";

/**
 * The Cloud Controller at an address. A load balancer sends requests with this Via to it, because the Worker's own have it. They
 * also have CF-Worker, which only Cloudflare may add. A Worker refuses them (`isLoop`), so it can't be taken for the Cloud Controller.
 */
export function withoutWorker(endpoint: Endpoint): Endpoint {
  return { ...endpoint, headers: { Via: VIA } };
}

/**
 * A request of matches with a size that is a decimal fraction, like `65537.0`. The Worker accepts it and a Cloud Controller refuses
 * it, so the response shows which of them it comes from. The Worker does not verify its matches, and records nothing.
 */
export function requestFraction(
  endpoint: Endpoint,
  {
    sha1 = randomSha1(),
    size = 1,
    sample = [],
    headers = {},
  }: {
    /** SHA-1 of the resource whose size is a fraction; by default one that does not exist. */
    sha1?: string;
    size?: number;
    /** Further resources. */
    sample?: readonly CachedResource[];
    headers?: Record<string, string>;
  } = {},
): Promise<ApiResponse> {
  const fraction = `{"checksum":{"value":"${sha1}"},"size_in_bytes":${size}.0,"mode":"${ANY_MODE}"}`;
  const others = sample.map((resource) => JSON.stringify({ ...resource, mode: ANY_MODE }));
  const body = `{"resources":[${[...others, fraction].join()}]}`;
  const probe = { [PROBE_HEADER]: "1", ...headers };
  return send(endpoint, { method: "POST", path: "/v3/resource_matches", body, headers: probe });
}

/** Whether the Cloud Controller has responded to `requestFraction`. */
export function isOfCloudController({ status, body }: ApiResponse): boolean {
  return status === 422 && body.includes("a non-integer size_in_bytes");
}

/** Whether a Worker refused a request because it seems to have sent the request itself. */
export function isLoop({ status, body }: ApiResponse): boolean {
  return status === 508 && body.includes("leads back to the Worker");
}

/**
 * Whether a Worker has responded to `requestFraction` at the address of `withoutWorker`. It returns 508, or 201 if a proxy in
 * front of it removes Via.
 */
export function isOfWorker(response: ApiResponse): boolean {
  const { resources } = (jsonOf(response) ?? {}) as { resources?: unknown };
  return isLoop(response) || (response.status === 201 && Array.isArray(resources));
}

/** Explains that a Worker responds at `--cloud-controller`. */
export function workerAtCloudController({ url }: Endpoint): string {
  return (
    `${url} leads to a Worker, and not to the Cloud Controller. Set --cloud-controller to a URL that leads to the Cloud ` +
    `Controller. ${LOAD_BALANCER_RULE}`
  );
}

export function randomSha1(): string {
  return randomBytes(20).toString("hex");
}
