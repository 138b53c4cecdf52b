import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "smol-toml";
import { Exit, reasonOf } from "./exit.ts";

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

/** What wrangler.toml says about the deployed Worker's cache. */
export interface DeployedCache {
  keyPrefix: string;
  /** The KV namespace's; undefined until it has been created. */
  namespaceId: string | undefined;
}

interface Scope {
  kv_namespaces?: { binding: string; id?: string }[];
  vars?: Record<string, unknown>;
}

/**
 * Read here, because wrangler takes a second to load.
 *
 * @param environment none of the top level's bindings and variables hold in an environment
 * @throws Exit if there is no such environment, or the file is no TOML
 */
export function deployedCache(path: string, environment: string | undefined): DeployedCache {
  let config: Scope & { env?: Record<string, Scope> };
  try {
    config = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Exit("failed", `Can't read ${path}: ${reasonOf(error)}`);
  }
  const scope = environment === undefined ? config : config.env?.[environment];
  if (!scope) throw new Exit("failed", `${path} has no environment ${environment}.`);
  return {
    keyPrefix: String(scope.vars?.KEY_PREFIX ?? ""),
    namespaceId: scope.kv_namespaces?.find(({ binding }) => binding === "RESOURCE_CACHE")?.id,
  };
}
