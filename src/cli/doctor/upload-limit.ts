import { randomUUID } from "node:crypto";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import type { Endpoint } from "../api/endpoint.ts";
import { type ApiResponse, hasErrorEnvelope } from "../api/send.ts";
import { agentFor } from "../network/agent.ts";
import { formatBytes } from "../terminal/output.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** A server that decides by the Content-Length responds at once. Others wait for the body. */
const TIMEOUT_MS = 5_000;

const LIMITS =
  "Cloudflare limits each request of a proxied name: to 100 MB on the plans Free and Pro, 200 MB on Business, and up to 5 GB on " +
  "Enterprise, less if the zone says so (Network, Maximum Upload Size). A Worker does not change that.";
const ADVICE =
  "make the DNS record DNS-only, and let the foundation's load balancer forward POST /v3/resource_matches to the Worker.";

/**
 * Whether Cloudflare refuses uploads of packages that the foundation accepts.
 *
 * @param api the address that cf uses
 * @param root its response to `GET /`
 * @param maxPackageSize `cc.packages.max_package_size`, in bytes
 */
export async function* uploadLimitFindings(
  api: Endpoint,
  root: ApiResponse,
  maxPackageSize: number,
): AsyncGenerator<Finding> {
  const { host } = new URL(api.url);
  if (root.headers.get("Server") !== "cloudflare" || !root.headers.has("CF-RAY")) {
    yield ok(
      "upload limit",
      `${host} is not proxied by Cloudflare, so that its limit for uploads does not apply.`,
    );
    return;
  }
  const size = formatBytes(maxPackageSize);
  const response = await declareUpload(api, maxPackageSize);
  if (response?.status === 413) {
    yield fail(
      "upload limit",
      `${host} is proxied by Cloudflare, and an upload of ${size} is refused (413). ${LIMITS} A push of a larger app ` +
        `fails. To prevent that, ${ADVICE} If the foundation accepts only smaller packages, set --max-package-size to its ` +
        "cc.packages.max_package_size.",
    );
  } else if (response && hasErrorEnvelope(response)) {
    yield ok(
      "upload limit",
      `${host} is proxied by Cloudflare, and an upload of ${size} reaches the Cloud Controller.`,
    );
  } else {
    yield warn(
      "upload limit",
      `${host} is proxied by Cloudflare. Whether it accepts an upload of ${size} could not be checked. ${LIMITS} Compare this ` +
        `with the foundation's cc.packages.max_package_size, 1 GiB by default. If that is larger, ${ADVICE}`,
    );
  }
}

/**
 * Begins an upload without a token, for a package that does not exist, and sends none of its body.
 *
 * @returns undefined if there is no response
 */
async function declareUpload({ url }: Endpoint, bytes: number): Promise<ApiResponse | undefined> {
  const target = `${url}/v3/packages/${randomUUID()}/upload`;
  const request = (target.startsWith("https:") ? requestHttps : requestHttp)(target, {
    method: "POST",
    agent: agentFor(new URL(target)),
    headers: { "Content-Length": bytes, "Content-Type": "multipart/form-data; boundary=none" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  try {
    return await new Promise((resolve, reject) => {
      request.on("error", reject);
      request.on("response", (response) => {
        const headers = new Headers();
        const status = response.statusCode ?? 0;
        text(response).then((body) => resolve({ status, headers, body, target }), reject);
      });
      request.flushHeaders();
    });
  } catch {
    return undefined;
  } finally {
    request.destroy();
  }
}
