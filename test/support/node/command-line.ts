import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

const EXIT_WRONG_USAGE = 2;

/**
 * Parses the options of this process. Prints the usage and exits if `--help` is given or the command line is wrong.
 *
 * @param usage the command, and a line for each option
 */
export function parseCommandLine<const T extends ParseArgsOptionsConfig>(
  usage: string,
  options: T,
  { allowPositionals = false } = {},
) {
  const config = {
    options: { ...options, help: { type: "boolean", short: "h" } },
    allowPositionals,
  } as const;
  try {
    const { values, positionals } = parseArgs(config);
    if (!("help" in values)) return { values, positionals: positionals as string[] };
    process.stdout.write(`${usage}\n`);
  } catch (error) {
    exitWithUsage((error as Error).message, usage);
  }
  process.exit(0);
}

/** Prints the error and the usage, and exits with 2. */
export function exitWithUsage(message: string, usage: string): never {
  console.error(`${message}\n\n${usage}`);
  process.exit(EXIT_WRONG_USAGE);
}
