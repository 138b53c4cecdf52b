import { readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { unstable_readConfig as readConfig, type Unstable_Config } from "wrangler";
import manifest from "../../package.json" with { type: "json" };
import { configurationOf } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { isLoopback } from "../http/loopback.ts";

/** Of `wrangler.toml` and the examples. */
const { name: defaultName } = manifest;
const PROJECT = resolve(import.meta.dirname, "../..");
const EXAMPLES = join(PROJECT, "docs/examples");

/** Addresses that a deployed Worker must be able to reach. */
const SERVERS: Record<string, string> = {
  UAA_URL: "https://uaa.<system domain>, the foundation's UAA",
  CLOUD_CONTROLLER_URL: "https://api.<system domain>, the foundation's Cloud Controller",
};

const method = () => {};
const KV_NAMESPACE = { get: method, put: method, delete: method };
const DURABLE_OBJECT_NAMESPACE = { getByName: method };
/** Valid values for variables whose values are not in the configuration, so that only the others are checked. */
const UNKNOWN = {
  UAA_URL: "https://unknown.invalid",
  CLOUD_CONTROLLER_URL: "https://unknown.invalid",
  MAXIMUM_SIZE: Number.MAX_SAFE_INTEGER,
};

/** A Worker as one environment of a file configures it. */
interface Deployment {
  file: string;
  /** Undefined for the top level of the file. */
  environment: string | undefined;
  name: string | undefined;
  routes: readonly string[];
}

/**
 * Describes what is wrong with a deployment: a Worker that would replace another one, return an error for every request, or get none.
 *
 * @param args of `wrangler deploy`
 * @param directory of the user, to which paths are relative
 * @throws if the configuration can't be read
 */
export function deploymentProblems(args: readonly string[], directory: string): string[] {
  const options = deployOptions(args);
  const path = options.config && resolve(directory, options.config);
  const config: Unstable_Config = readConfig({ config: path, env: options.env }, { hideWarnings: true });
  const configured = deploymentOf(config);
  const deployment = {
    ...configured,
    name: options.name ?? configured.name,
    routes: [...(options.routes.length > 0 ? options.routes : configured.routes), ...options.domains],
  };
  const keepsVariables = options.keepsVariables || config.keep_vars === true;
  const secrets = config.secrets?.required ?? [];
  const variables = Object.fromEntries<unknown>([
    ...Object.entries(UNKNOWN).filter(([name]) => keepsVariables || secrets.includes(name)),
    ...config.kv_namespaces.map(({ binding }) => [binding, KV_NAMESPACE] as const),
    ...config.durable_objects.bindings.map(({ name }) => [name, DURABLE_OBJECT_NAMESPACE] as const),
    ...Object.entries({ ...config.vars, ...options.variables }),
  ]);
  return [
    ...nameProblems(deployment, directory),
    ...variableProblems(variables, deployment.environment),
    ...routeProblems(deployment.routes),
  ];
}

function deployOptions(args: readonly string[]) {
  const { values, tokens } = parseArgs({
    args: [...args],
    options: {
      config: { type: "string", short: "c" },
      env: { type: "string", short: "e" },
      name: { type: "string" },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  // `--var A:1 B:2 --var=C:3` has three values.
  const given: { option: string; value: string }[] = [];
  let option = "";
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "option") option = token.name;
    if (token.value !== undefined) given.push({ option, value: token.value });
  }
  const valuesOf = (...options: string[]) =>
    given.filter(({ option }) => options.includes(option)).map(({ value }) => value);
  return {
    config: values.config as string | undefined,
    env: values.env as string | undefined,
    name: values.name as string | undefined,
    keepsVariables: values["keep-vars"] === true,
    variables: Object.fromEntries(valuesOf("var").map((variable) => variable.split(/:(.*)/s, 2))),
    /** They replace those of the file. */
    routes: valuesOf("route", "routes"),
    /** They are added to the routes. */
    domains: valuesOf("domain", "domains"),
  };
}

/** A deployment replaces the Worker of the same name and takes over its routes, even if it is another foundation's. */
function nameProblems(deployment: Deployment, directory: string): string[] {
  const { name } = deployment;
  const file = relative(directory, deployment.file);
  if (dirname(deployment.file) === EXAMPLES) {
    const copy = relative(directory, join(PROJECT, "wrangler.foundation.toml"));
    return [`${file} is an example. Copy it, and deploy the copy: cp ${file} ${copy}`];
  }
  if (name === undefined || name === defaultName) {
    return [
      `The name of the Worker is ${name === undefined ? "missing" : `the default, "${name}"`}. Give each foundation's Worker ` +
        `a name of its own: name = "${defaultName}-<foundation>"`,
    ];
  }
  return deploymentsIn(dirname(deployment.file))
    .filter((other) => other.file !== deployment.file || other.environment !== deployment.environment)
    .flatMap((other) => {
      const place =
        relative(directory, other.file) + (other.environment ? `, [env.${other.environment}],` : "");
      const problems = other.routes
        .filter((route) => deployment.routes.includes(route))
        .map(
          (route) =>
            `${place} has the route "${route}" too: one Worker would take the other's requests. Change one of the routes`,
        );
      if (other.name !== name) return problems;
      const sameName = `${place} has the name "${name}" too: one deployment would replace the other. Change one of the names`;
      return [sameName, ...problems];
    });
}

/** Of all Workers that the files of a folder configure, with each of their environments. */
function deploymentsIn(folder: string): Deployment[] {
  return readdirSync(folder)
    .filter((name) => /\.(toml|jsonc?)$/.test(name))
    .flatMap((name) => {
      const path = join(folder, name);
      const topLevel = tryToRead(path, "");
      const environments = topLevel?.definedEnvironments ?? [];
      return [topLevel, ...environments.map((environment) => tryToRead(path, environment))];
    })
    .filter((config) => config !== undefined)
    .map(deploymentOf);
}

/** Undefined if a file is not the configuration of a Worker, like package.json, which also has a name. */
function tryToRead(config: string, env: string): Unstable_Config | undefined {
  try {
    const worker: Unstable_Config = readConfig({ config, env }, { hideWarnings: true });
    return worker.compatibility_date === undefined ? undefined : worker;
  } catch {
    return undefined;
  }
}

function deploymentOf(config: Unstable_Config): Deployment {
  const routes = [config.route ?? [], config.routes ?? []].flat();
  return {
    file: resolve(config.configPath ?? ""),
    environment: config.targetEnvironment || undefined,
    name: config.name,
    routes: routes.map((route) => (typeof route === "string" ? route : route.pattern)),
  };
}

/**
 * Describes missing bindings and variables, invalid values and placeholders.
 *
 * @param environment of wrangler's configuration, which inherits none of them; undefined for the top level
 */
export function variableProblems(variables: Record<string, unknown>, environment?: string): string[] {
  const configuration = configurationOf({ ...variables });
  const wrong = configuration instanceof Failure ? configuration.wrongVariables : [];
  const problems = wrong.map(({ variable, value, expected }) =>
    variable in variables
      ? `${variable} is ${JSON.stringify(value)}. Set it to ${expected}`
      : `${variable} is missing${environment ? ` in [env.${environment}]` : ""}. Add it: ${SERVERS[variable] ?? expected}`,
  );
  for (const [name, server] of Object.entries(SERVERS)) {
    if (isPlaceholder(variables[name]))
      problems.push(`${name} is the placeholder "${variables[name]}". Set it to ${server}`);
  }
  return problems;
}

export function routeProblems(routes: readonly string[]): string[] {
  return routes
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
