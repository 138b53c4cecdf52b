/** A response with the Content-Type of the Cloud Controller. */
export function jsonResponse(
  json: string | Uint8Array<ArrayBuffer>,
  status: number,
  headers: Record<string, string> = {},
): Response {
  return new Response(json, {
    status,
    headers: { "Content-Type": "application/json; charset=utf-8", ...headers },
  });
}
