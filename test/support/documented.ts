import { env } from "cloudflare:workers";
import { expect } from "vitest";
import type { Exchange } from "./exchange.ts";

/**
 * Expects that a response is documented in docs/openapi.json. The check runs outside of workerd, which forbids the code generation of
 * the schema validator.
 *
 * @param more `sent`: the request's body, to be checked too; `isRelayed`: whether the response is the Cloud Controller's
 */
export async function expectDocumented(
  { method, url }: { method: string; url: string },
  response: Response,
  more: Pick<Exchange, "sent" | "isRelayed"> = {},
): Promise<void> {
  const exchange: Exchange = {
    method,
    path: new URL(url).pathname,
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.clone().text(),
    ...more,
  };
  const checked = await env.DOCUMENTED_API.fetch("https://documented.api/", {
    method: "POST",
    body: JSON.stringify(exchange),
  });
  expect(await checked.json()).toEqual([]);
}
