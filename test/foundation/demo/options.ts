import { parseArgs } from "node:util";

/** What `npm start` listens on; the flag of each is `--<name>`. */
export const PORTS = {
  port: { purpose: "the Worker", default: 8787 },
  "uaa-port": { purpose: "the UAA local foundation", default: 8788 },
  "cloud-controller-port": { purpose: "the Cloud Controller local foundation", default: 8789 },
} as const;

export type PortName = keyof typeof PORTS;

export interface StartOptions {
  ports: Record<PortName, number>;
  /** Path of a wrangler.toml; the local KV, the local foundation's resource pool and the demo's files lie in `.wrangler` beside it. */
  config: string;
}

/** The command line can't be understood. */
export class WrongUsage extends Error {
  override name = "WrongUsage";
}

const PORT_MAX = 65_535;
const CONFIG = "wrangler.toml";
export const PORT_NAMES = Object.keys(PORTS) as PortName[];

export const HELP = `Usage: npm start -- [options]

Starts the Worker on this machine before a local foundation for a foundation, with a few
files in its cache, pushes a small app through it, and shows a request that it
answers. Ctrl-C stops everything.

Options:
${PORT_NAMES.map((name) => `  ${`--${name} <port>`.padEnd(30)} of ${PORTS[name].purpose} (default: ${PORTS[name].default})`).join("\n")}
  --config <file>                the wrangler.toml to run; what is kept lies in
                                 .wrangler beside it (default: this project's)
  --help                         shows this
`;

/**
 * @returns undefined where only help is wanted
 * @throws WrongUsage
 */
export function parseOptions(args: readonly string[]): StartOptions | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const ports = Object.fromEntries(PORT_NAMES.map((name) => [name, portOf(name, values[name])]));
  if (new Set(Object.values(ports)).size < PORT_NAMES.length) {
    throw new WrongUsage(`${PORT_NAMES.map((name) => `--${name}`).join(", ")} must differ`);
  }
  return { ports: ports as Record<PortName, number>, config: values.config ?? CONFIG };
}

/** What starts with these options: those that are not the defaults are named. */
export function commandLine({ ports, config }: StartOptions): string {
  const chosen = PORT_NAMES.filter((name) => ports[name] !== PORTS[name].default);
  const words = chosen.map((name) => `--${name} ${ports[name]}`);
  if (config !== CONFIG) words.push(`--config '${config.replaceAll("'", "'\\''")}'`);
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

function portOf(name: PortName, value: string | undefined): number {
  if (value === undefined) return PORTS[name].default;
  const port = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (port < 1 || port > PORT_MAX) {
    throw new WrongUsage(`--${name} must be a number from 1 to ${PORT_MAX}, not "${value}"`);
  }
  return port;
}
