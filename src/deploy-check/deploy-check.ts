import { relative } from "node:path";
import { configurationOf, isLoopback } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { wranglerArguments } from "./wrangler-arguments.ts";

/** Addresses that a deployed Worker must be able to reach. */
const SERVERS = {
  UAA_URL: "https://uaa.<system domain>, the foundation's UAA",
  CLOUD_CONTROLLER_URL: "https://api.<system domain>, the foundation's Cloud Controller",
};

/** wrangler.toml has the bindings: only variables can be wrong. */
const BINDING = new Proxy({}, { get: () => () => {} });
const BINDINGS = { RESOURCE_CACHE: BINDING, CATALOG: BINDING, PUSH_SESSIONS: BINDING };
/** Valid values for variables that may be secrets, so that only the others are checked. */
const ABSENT = { CLOUD_CONTROLLER_URL: "https://absent.invalid", MAXIMUM_SIZE: Number.MAX_SAFE_INTEGER };

/**
 * Makes `wrangler deploy` fail if a variable is invalid, or if it or a route is a placeholder: the Worker would return an
 * error for every request, or get none.
 */
export async function checkDeployment(): Promise<void> {
  const { isDryRun, config, env, variables, hasRoutes } = wranglerArguments();
  if (isDryRun) return;
  // Takes a second to load, so it is not imported for dry runs.
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const { configPath, vars, route, routes = [] } = readConfig({ config, env }, { hideWarnings: true });
  const problems = {
    "[vars]": variableProblems({ ...vars, ...variables }),
    // Routes of the command line replace those of the file.
    routes: hasRoutes ? [] : routeProblems(route ? [route, ...routes] : routes),
  };
  const file = configPath === undefined ? "the configuration" : relative(process.cwd(), configPath);
  for (const [place, lines] of Object.entries(problems)) {
    if (lines.length === 0) continue;
    console.error(
      [`Not deployed. Fix the ${place} of ${file}:`, ...lines.map((line) => `  ${line}`)].join("\n"),
    );
    process.exitCode = 1;
  }
}

/** Describes invalid variables and placeholders. A variable may be absent: it may be a secret, or set in the dashboard. */
export function variableProblems(vars: Record<string, unknown>): string[] {
  const configuration = configurationOf({ ...BINDINGS, ...ABSENT, ...vars });
  const wrong = configuration instanceof Failure ? configuration.wrongVariables : [];
  const problems = wrong
    .filter(({ variable }) => variable in vars)
    .map(({ variable, value, expected }) => `${variable} is ${JSON.stringify(value)}. Set it to ${expected}`);
  for (const [name, server] of Object.entries(SERVERS)) {
    if (isPlaceholder(vars[name]))
      problems.push(`${name} is the placeholder "${vars[name]}". Set it to ${server}`);
  }
  return problems;
}

export function routeProblems(routes: readonly (string | { pattern: string })[]): string[] {
  return routes
    .map((route) => (typeof route === "string" ? route : route.pattern))
    .filter(isPlaceholderPattern)
    .map(
      (pattern) =>
        `The route "${pattern}" is a placeholder. Set it to a hostname of your zone, with custom_domain = true, or to ` +
        "api.<system domain>/v3/resource_matches*",
    );
}

/** The scheme of a pattern may have a star, and its host one at either end. */
function isPlaceholderPattern(pattern: string): boolean {
  if (/[<>\s]/.test(pattern)) return true;
  const [host = ""] = pattern.replace(/^\w*\*?:\/\//, "").split("/");
  return isPlaceholder(`https://${host.replace(/^\*\.?/, "").replace(/\*$/, "")}`);
}

/** Whether an address is on this machine, like the local foundation's, or on a domain that is reserved for examples. */
function isPlaceholder(address: unknown): boolean {
  if (typeof address !== "string" || !URL.canParse(address)) return false;
  const { hostname } = new URL(address);
  return isLoopback(hostname) || /(^|\.)(localhost|example|example\.(com|net|org))\.?$/.test(hostname);
}
