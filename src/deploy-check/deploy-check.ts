import { relative } from "node:path";
import { wrongRoutes } from "./routes.ts";
import { wrongVariables } from "./variables.ts";
import { wranglerArguments } from "./wrangler-arguments.ts";

/**
 * Ends the process with an error where the Worker that wrangler is about to deploy would answer 500 or 503 to every
 * request, or to none: a variable is wrong, or it or a route still has a name that is only an example.
 */
export async function refusePlaceholders(): Promise<void> {
  const { isDryRun, config, env, variables, hasRoutes } = wranglerArguments();
  if (isDryRun) return;
  // Loaded only here: it takes a second.
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const { configPath, vars, route, routes = [] } = readConfig({ config, env }, { hideWarnings: true });
  const wrong = {
    "[vars]": wrongVariables({ ...vars, ...variables }),
    // Those of the command line stand in the place of the file's.
    routes: hasRoutes ? [] : wrongRoutes(route ? [route, ...routes] : routes),
  };
  const file = configPath === undefined ? "the configuration" : relative(process.cwd(), configPath);
  for (const [place, lines] of Object.entries(wrong)) {
    if (lines.length === 0) continue;
    console.error(
      [`Not deployed: in the ${place} of ${file},`, ...lines.map((line) => `  ${line}`)].join("\n"),
    );
    process.exitCode = 1;
  }
}
