import type { CacheStatus } from "../../operator-api/responses.ts";
import type { Endpoint } from "./endpoint.ts";
import { jsonOf, send } from "./send.ts";

/** Sizes that the Worker may match, in bytes, both included. */
export interface SizeLimits {
  minimum: number;
  maximum: number;
}

/** The Worker's limits; undefined where nobody tells them: to a developer's token, or where there is no Worker. */
export async function sizeLimitsOf(endpoint: Endpoint): Promise<SizeLimits | undefined> {
  const question = { method: "GET", path: "/v3/resource_matches/cache" } as const;
  const answer = await send(endpoint, question).catch(() => undefined);
  if (answer?.status !== 200) return undefined;
  const { configuration } = (jsonOf(answer) ?? {}) as Partial<CacheStatus>;
  const [minimum, maximum] = [configuration?.MINIMUM_SIZE, configuration?.MAXIMUM_SIZE];
  return typeof minimum === "number" && typeof maximum === "number" ? { minimum, maximum } : undefined;
}
