import { version } from "../../package.json";

const NAME = "resource-matches";
/** RFC 9110, section 7.6.3. */
const VIA = `1.1 ${NAME}`;

/** Headers of the requests that the Worker itself sends. Firewalls may refuse a request without User-Agent. */
export const WORKER_HEADERS = { "User-Agent": `${NAME}/${version}`, Via: VIA };

/** Adds the Worker to the proxies that a passed-through request names. */
export function addVia(headers: Headers): void {
  headers.append("Via", VIA);
}

/** Whether the Worker has sent the request itself, so that CLOUD_CONTROLLER_URL leads back to it. */
export function isLoop(headers: Headers): boolean {
  return headers.get("Via")?.split(/,\s*/).includes(VIA) ?? false;
}
