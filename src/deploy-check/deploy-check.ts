import { relative } from "node:path";
import { wrongVariables } from "./variables.ts";
import { wranglerArguments } from "./wrangler-arguments.ts";

/**
 * Ends the process with an error where the Worker that wrangler is about to deploy would answer 500 or 503 to every
 * request: a variable is wrong, or still names the stand-in of `npm start`.
 */
export async function refuseStandIns(): Promise<void> {
  const { isDryRun, config, env, variables } = wranglerArguments();
  if (isDryRun) return;
  // Loaded only here: it takes a second.
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const { configPath, vars } = readConfig({ config, env }, { hideWarnings: true });
  const wrong = wrongVariables({ ...vars, ...variables });
  if (wrong.length === 0) return;
  const file = configPath === undefined ? "the configuration" : relative(process.cwd(), configPath);
  console.error([`Not deployed: in the [vars] of ${file},`, ...wrong.map((line) => `  ${line}`)].join("\n"));
  process.exitCode = 1;
}
