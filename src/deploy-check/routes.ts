import { isPlaceholder } from "./variables.ts";

/** A route as wrangler's configuration has it. */
type Route = string | { pattern: string };

/** What is wrong with the routes of a Worker that is to be deployed, a line for each: names that are only examples. */
export function wrongRoutes(routes: readonly Route[]): string[] {
  return routes
    .map((route) => (typeof route === "string" ? route : route.pattern))
    .filter(isExample)
    .map(
      (pattern) =>
        `"${pattern}" is only an example: set api.<system domain>/v3/resource_matches*, of the foundation's own domain`,
    );
}

/** A pattern is no URL: its scheme may have a star, and its host one at either end. */
function isExample(pattern: string): boolean {
  if (/[<>\s]/.test(pattern)) return true;
  const [host = ""] = pattern.replace(/^\w*\*?:\/\//, "").split("/");
  return isPlaceholder(`https://${host.replace(/^\*\.?/, "").replace(/\*$/, "")}`);
}
