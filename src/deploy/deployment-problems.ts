import { readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { unstable_readConfig as readConfig } from "wrangler";
import manifest from "../../package.json" with { type: "json" };
import { configurationOf, isLoopback } from "../configuration.ts";
import { Failure } from "../failure.ts";

/** Of `wrangler.toml` and the examples. */
const { name: defaultName } = manifest;
const EXAMPLES = resolve(import.meta.dirname, "../../docs/examples");

/** Addresses that a deployed Worker must be able to reach. */
const SERVERS = {
  UAA_URL: "https://uaa.<system domain>, the foundation's UAA",
  CLOUD_CONTROLLER_URL: "https://api.<system domain>, the foundation's Cloud Controller",
};

/** The file has the bindings: only variables can be wrong. */
const BINDING = new Proxy({}, { get: () => () => {} });
const BINDINGS = { RESOURCE_CACHE: BINDING, CATALOG: BINDING, PUSH_SESSIONS: BINDING };
/** Valid values for variables that may be secrets, so that only the others are checked. */
const ABSENT = { CLOUD_CONTROLLER_URL: "https://absent.invalid", MAXIMUM_SIZE: Number.MAX_SAFE_INTEGER };

/**
 * Describes what is wrong with a deployment: a Worker that would replace another one, return an error for every request, or get none.
 *
 * @param args of `wrangler deploy`
 * @throws if the configuration can't be read
 */
export function deploymentProblems(args: readonly string[]): string[] {
  const options = deployOptions(args);
  const { config, env, variables, hasRoutes } = options;
  const {
    configPath = "",
    main,
    name,
    vars,
    route,
    routes = [],
  } = readConfig({ config, env }, { hideWarnings: true });
  return [
    ...nameProblems(resolve(configPath), main, options.name ?? name, env),
    ...variableProblems({ ...vars, ...variables }),
    // Routes of the command line replace those of the file.
    ...(hasRoutes ? [] : routeProblems(route ? [route, ...routes] : routes)),
  ];
}

function deployOptions(args: readonly string[]) {
  const { values, tokens } = parseArgs({
    args: [...args],
    options: {
      config: { type: "string", short: "c" },
      env: { type: "string", short: "e" },
      name: { type: "string" },
      var: { type: "string" },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const variables: Record<string, string> = {};
  let option = "";
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "option") option = token.name;
    // From `--var A:1 B:2 --var=C:3`.
    const [, name, value] = /^(\w+):(.*)$/s.exec(token.value ?? "") ?? [];
    if (option === "var" && name !== undefined && value !== undefined) variables[name] = value;
  }
  return {
    config: values.config as string | undefined,
    env: values.env as string | undefined,
    name: values.name as string | undefined,
    variables,
    hasRoutes: tokens.some((token) => token.kind === "option" && /^routes?$/.test(token.name)),
  };
}

/** A deployment replaces the Worker of the same name, even if that is another foundation's. */
function nameProblems(
  configPath: string,
  main: string | undefined,
  name: string | undefined,
  env: string | undefined,
): string[] {
  const file = relative(process.cwd(), configPath);
  if (dirname(configPath) === EXAMPLES) {
    return [`${file} is an example. Copy it, and deploy the copy: cp ${file} wrangler.foundation.toml`];
  }
  if (name === undefined || name === defaultName) {
    return [
      `The name of the Worker is ${name === undefined ? "missing" : `the default, "${name}"`}. Give each foundation's Worker ` +
        `a name of its own: name = "${defaultName}-<foundation>"`,
    ];
  }
  return otherConfigsOf(configPath, main)
    .filter((other) => nameOf(other, env) === name)
    .map(
      (other) =>
        `${relative(process.cwd(), other)} has the name "${name}" too: one deployment would replace the other. Change one of the names`,
    );
}

/** Configurations of this Worker in the same folder. */
function otherConfigsOf(configPath: string, main: string | undefined): string[] {
  const folder = dirname(configPath);
  return readdirSync(folder)
    .filter((name) => /\.(toml|jsonc?)$/.test(name))
    .map((name) => join(folder, name))
    .filter((path) => path !== configPath && tryToRead(path)?.main === main);
}

/** An environment that a file lacks has the name with which wrangler would deploy it. */
function nameOf(path: string, env: string | undefined): string | undefined {
  return (tryToRead(path, env) ?? tryToRead(path))?.name;
}

/** Undefined if a file is not a configuration of wrangler. */
function tryToRead(config: string, env?: string) {
  try {
    return readConfig({ config, env }, { hideWarnings: true });
  } catch {
    return undefined;
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
