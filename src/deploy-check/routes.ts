import { isStandIn } from "./variables.ts";

/** A route as wrangler's configuration has it. */
type Route = string | { pattern: string };

/** What is wrong with the routes of a Worker that is to be deployed, a line for each: names that are only examples. */
export function wrongRoutes(routes: readonly Route[]): string[] {
  return routes
    .map((route) => (typeof route === "string" ? route : route.pattern))
    .filter((pattern) => isStandIn(`https://${pattern.replace(/^https?:\/\//, "").replace(/^\*\.?/, "")}`))
    .map((pattern) => `"${pattern}" is only an example: set api.<system domain>/v3/resource_matches*`);
}
