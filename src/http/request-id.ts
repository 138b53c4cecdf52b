const EXTERNAL_ID_MAX_CHARACTERS = 255;

/**
 * The id of a request, as the Cloud Controller makes it: what a client or router sent, stripped to
 * `[A-Za-z0-9_-]`, then `::` and a UUID; a UUID alone where nothing was sent.
 */
export function vcapRequestId(headers: Headers): string {
  // The runtime trims header values, so that a blank one is empty here and counts as none.
  const external = headers.get("X-Vcap-Request-Id") || headers.get("X-Request-Id");
  const internal = crypto.randomUUID();
  if (!external) return internal;
  return `${external.replaceAll(/[^\w-]/g, "").slice(0, EXTERNAL_ID_MAX_CHARACTERS)}::${internal}`;
}
