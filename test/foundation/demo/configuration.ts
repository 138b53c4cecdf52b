import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, TomlError } from "smol-toml";
import { type Configuration, configurationOf, type Env } from "../../../src/configuration.ts";
import { Failure } from "../../../src/failure.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { CannotStart } from "./cannot-start.ts";
import { quote, WrongUsage } from "./options.ts";

/** URLs of the local foundation. */
export interface Addresses {
  uaa: string;
  cloudController: string;
}

export interface DemoConfiguration {
  /** The path that is printed. */
  path: string;
  /** What the Worker runs with. */
  settings: Configuration;
  /** The content of a wrangler.json that runs it. */
  wrangler: object;
}

/** The parts of a wrangler.toml that are used here. */
interface WranglerToml {
  vars?: Record<string, unknown>;
  build?: { watch_dir?: string };
  kv_namespaces?: { binding: string }[];
  durable_objects?: { bindings?: { name: string }[] };
  r2_buckets?: { binding: string }[];
  ratelimits?: { name: string }[];
  analytics_engine_datasets?: { binding: string }[];
}

const DEFAULT_PATH = join(PROJECT_ROOT, "wrangler.toml");
/** Addresses of a deployment, and settings of `wrangler dev` that the demo chooses itself. */
const IGNORED = ["account_id", "dev", "env", "preview_urls", "route", "routes", "workers_dev"];
/** Has every method of a binding. */
const BINDING = new Proxy({}, { get: () => () => {} });

/**
 * Reads a wrangler.toml, and replaces the addresses in it with those of the local foundation. CLOUD_CONTROLLER_URL is only
 * replaced, not added: without it the Worker runs with the cache alone.
 *
 * @param file undefined: the project's own wrangler.toml, with the local Cloud Controller
 * @throws WrongUsage if the file can't be read, CannotStart if the Worker could not run with it
 */
export async function readConfiguration(
  file: string | undefined,
  { uaa, cloudController }: Addresses,
): Promise<DemoConfiguration> {
  const toml = await readToml(file ?? DEFAULT_PATH);
  const { CLOUD_CONTROLLER_URL, ...variables } = toml.vars ?? {};
  const hasCloudController = file === undefined || CLOUD_CONTROLLER_URL !== undefined;
  const vars = {
    ...variables,
    UAA_URL: uaa,
    UAA_ISSUER: `${uaa}/oauth/token`,
    UAA_AUDIENCE: "cloud_controller",
    ...(hasCloudController ? { CLOUD_CONTROLLER_URL: cloudController } : {}),
  };
  const path = file ?? "wrangler.toml";
  const kept = Object.entries(toml).filter(([name]) => !IGNORED.includes(name));
  return {
    path,
    settings: check(path, { ...listBindings(toml), ...vars }),
    wrangler: {
      ...Object.fromEntries(kept),
      // The file may be a copy elsewhere, but its Worker is always this project's.
      main: join(PROJECT_ROOT, "src/index.ts"),
      build: {
        ...toml.build,
        cwd: PROJECT_ROOT,
        ...(toml.build?.watch_dir ? { watch_dir: join(PROJECT_ROOT, toml.build.watch_dir) } : {}),
      },
      vars,
    },
  };
}

async function readToml(file: string): Promise<WranglerToml> {
  try {
    return parse(await readFile(file, "utf8")) as WranglerToml;
  } catch (error) {
    if (error instanceof TomlError)
      throw new WrongUsage(`--config: ${file} is no valid TOML. ${error.message}`);
    const { code, message } = error as NodeJS.ErrnoException;
    throw new WrongUsage(
      code === "ENOENT" ? `--config: there is no file ${file}` : `--config: can't read ${file}. ${message}`,
    );
  }
}

function listBindings(toml: WranglerToml): Env {
  const names = [
    ...[
      ...(toml.kv_namespaces ?? []),
      ...(toml.r2_buckets ?? []),
      ...(toml.analytics_engine_datasets ?? []),
    ].map(({ binding }) => binding),
    ...[...(toml.durable_objects?.bindings ?? []), ...(toml.ratelimits ?? [])].map(({ name }) => name),
  ];
  return Object.fromEntries(names.map((name) => [name, BINDING]));
}

function check(path: string, env: Env): Configuration {
  const settings = configurationOf(env);
  if (settings instanceof Failure) {
    const problems = settings.wrongVariables.map(
      ({ variable, value, expected }) => `  ${variable} is ${JSON.stringify(value)}. Set it to ${expected}.`,
    );
    throw new CannotStart([`The Worker can't run with ${path}:`, ...problems].join("\n"));
  }
  if (settings.jurisdiction !== undefined) {
    const copy = quote(path.replace(/(\.toml)?$/, ".local.toml"));
    throw new CannotStart(
      [
        `${path} sets DATA_JURISDICTION to "${settings.jurisdiction}", but the local runtime has no jurisdictions. The Worker could not reach its`,
        "Durable Objects. Start with a copy that lacks this variable:",
        `  sed '/^DATA_JURISDICTION/d' ${quote(path)} > ${copy}`,
        `  npm start -- --config ${copy}`,
      ].join("\n"),
    );
  }
  return settings;
}
