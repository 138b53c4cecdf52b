const EXTERNAL_ID_MAX_CHARACTERS = 255;

/**
 * The id of a request, in the Cloud Controller's format: the id that a client or router sent, reduced to `[A-Za-z0-9_-]`,
 * then `::` and a UUID. Only a UUID if no id was sent.
 */
export function vcapRequestId(headers: Headers): string {
  // The runtime trims header values: a blank one is empty.
  const external = headers.get("X-Vcap-Request-Id") || headers.get("X-Request-Id");
  const internal = crypto.randomUUID();
  if (!external) return internal;
  return `${external.replaceAll(/[^\w-]/g, "").slice(0, EXTERNAL_ID_MAX_CHARACTERS)}::${internal}`;
}
