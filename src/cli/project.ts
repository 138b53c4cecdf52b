import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Exit } from "./exit.ts";

const PROJECT_WRANGLER_TOML = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));

/** The directory that the user's paths start from: `npm run` changes to the project's and tells the user's own. */
export function userDirectory(): string {
  const { npm_lifecycle_event: script, INIT_CWD: initial } = process.env;
  return script === "resource-pool" && initial ? initial : process.cwd();
}

/**
 * @param given as the user wrote it; otherwise this project's own
 * @throws Exit if there is no such file
 */
export function wranglerToml(given: string | undefined): string {
  const path = given === undefined ? PROJECT_WRANGLER_TOML : resolve(userDirectory(), given);
  if (!existsSync(path))
    throw new Exit("failed", `There is no ${path}: --config names the Worker's wrangler.toml.`);
  return path;
}
