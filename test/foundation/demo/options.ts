import { parseArgs } from "node:util";

/** The ports of `npm start`. The flag of each is `--<name>`. */
export const PORTS = {
  port: { user: "the Worker", default: 8787 },
  "uaa-port": { user: "the UAA", default: 8788 },
  "cloud-controller-port": { user: "the Cloud Controller", default: 8789 },
} as const;

export type PortName = keyof typeof PORTS;

export interface StartOptions {
  ports: Record<PortName, number>;
  /** Path of a wrangler.toml. The `.wrangler` directory next to it has the local KV, the resource pool and the demo's files. */
  config: string;
}

/** The command line is invalid. */
export class WrongUsage extends Error {
  override name = "WrongUsage";
}

const PORT_MAX = 65_535;
const DEFAULT_CONFIG = "wrangler.toml";
export const PORT_NAMES = Object.keys(PORTS) as PortName[];

export const HELP = `Usage: npm start -- [options]

Starts the Worker and a local foundation: a simulated UAA and Cloud Controller.
Adds a few files to the cache, pushes a small app three times, and prints where
its files were found and which commands to try next. Ctrl-C stops everything.

Options:
${PORT_NAMES.map((name) => `  ${`--${name} <port>`.padEnd(31)} port of ${PORTS[name].user} (default: ${PORTS[name].default})`).join("\n")}
  --config <file>                 the wrangler.toml to use; data is stored in
                                  .wrangler next to it (default: this project's)
  --help                          show this help
`;

/**
 * Parses the command line.
 *
 * @returns undefined for `--help`
 * @throws WrongUsage
 */
export function parseOptions(args: readonly string[]): StartOptions | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const ports = Object.fromEntries(PORT_NAMES.map((name) => [name, parsePort(name, values[name])]));
  if (new Set(Object.values(ports)).size < PORT_NAMES.length) {
    throw new WrongUsage(`${PORT_NAMES.map((name) => `--${name}`).join(", ")} must differ`);
  }
  return { ports: ports as Record<PortName, number>, config: values.config ?? DEFAULT_CONFIG };
}

/** Formats the command that starts the demo with these options. Defaults are left out. */
export function formatCommand({ ports, config }: StartOptions): string {
  const chosen = PORT_NAMES.filter((name) => ports[name] !== PORTS[name].default);
  const words = chosen.map((name) => `--${name} ${ports[name]}`);
  if (config !== DEFAULT_CONFIG) words.push(`--config '${config.replaceAll("'", "'\\''")}'`);
  return ["npm start --", ...words].join(" ");
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        port: { type: "string" },
        "uaa-port": { type: "string" },
        "cloud-controller-port": { type: "string" },
        config: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new WrongUsage((error as Error).message);
  }
}

function parsePort(name: PortName, value: string | undefined): number {
  if (value === undefined) return PORTS[name].default;
  const port = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (port < 1 || port > PORT_MAX) {
    throw new WrongUsage(`--${name} must be a number from 1 to ${PORT_MAX}, not "${value}"`);
  }
  return port;
}
