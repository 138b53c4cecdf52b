/** The entry of the Worker in the Via header of a request (RFC 9110, section 7.6.3). */
export const VIA = "1.1 resource-matches";

/** Adds the Worker to the proxies that a passed-through request names. */
export function addVia(headers: Headers): void {
  headers.append("Via", VIA);
}

/** Whether the Worker has sent the request itself, so that CLOUD_CONTROLLER_URL leads back to it. */
export function isLoop(headers: Headers): boolean {
  return headers.get("Via")?.split(/,\s*/).includes(VIA) ?? false;
}
