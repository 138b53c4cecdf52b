import { env } from "cloudflare:workers";
import { expect } from "vitest";
import type { Exchange } from "./exchange.ts";

/**
 * Holds an answer against docs/openapi.json. It is judged outside of the runtime, which lets nobody compile the code that
 * a validator is.
 *
 * @param more `sent`: the request's body, to be held against the document as well; `isRelayed`: whether the answer is
 * another's
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
  const judged = await env.DOCUMENTED_API.fetch("https://documented.api/", {
    method: "POST",
    body: JSON.stringify(exchange),
  });
  expect(await judged.json()).toEqual([]);
}
