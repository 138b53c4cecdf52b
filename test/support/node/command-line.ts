import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

const EXIT_WRONG_USAGE = 2;

/**
 * The options that this process was started with. `--help` shows the usage, and a command line that can't be understood
 * what is wrong with it: then the process ends.
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

/** Ends the process. */
export function exitWithUsage(complaint: string, usage: string): never {
  console.error(`${complaint}\n\n${usage}`);
  process.exit(EXIT_WRONG_USAGE);
}
