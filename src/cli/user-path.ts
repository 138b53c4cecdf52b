import { resolve } from "node:path";

/** Resolves a path against the user's directory: `npm run` changes to the project's, and passes the user's on. */
export function resolveUserPath(path: string): string {
  const { npm_lifecycle_event: script, INIT_CWD: initial } = process.env;
  return resolve(script === "resource-pool" && initial ? initial : process.cwd(), path);
}
