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
  /** Path of a wrangler.toml. Undefined: the project's own, in front of the local Cloud Controller. */
  config: string | undefined;
}

/** The command line is invalid. */
export class WrongUsage extends Error {
  override name = "WrongUsage";
}

const PORT_MAX = 65_535;
export const PORT_NAMES = Object.keys(PORTS) as PortName[];

export const HELP = `Usage: npm start -- [options]

Starts the Worker and a local foundation: a simulated UAA and Cloud Controller.
Adds a few files to the cache, pushes a small app three times, and prints where
its files were found and which commands to try next. Ctrl-C stops everything.
The data is kept in .wrangler next to the wrangler.toml, for each
--cloud-controller-port its own.

Options:
${PORT_NAMES.map((name) => `  ${`--${name} <port>`.padEnd(31)} port of ${PORTS[name].user} (default: ${PORTS[name].default})`).join("\n")}
  --config <file>                 the wrangler.toml to run, as it says: only its
                                  addresses are replaced (default: this
                                  project's, in front of the Cloud Controller)
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
  return { ports: ports as Record<PortName, number>, config: values.config };
}

/** Formats the command that starts the demo with these options. Defaults are left out. */
export function formatCommand({ ports, config }: StartOptions): string {
  const chosen = PORT_NAMES.filter((name) => ports[name] !== PORTS[name].default);
  const words = chosen.map((name) => `--${name} ${ports[name]}`);
  if (config !== undefined) words.push(`--config ${quote(config)}`);
  return words.length === 0 ? "npm start" : `npm start -- ${words.join(" ")}`;
}

/** Quotes a word for sh, if that is necessary. */
export function quote(word: string): string {
  return /^[\w./:=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
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
