/**
 * `npm run deploy -- --config <file>`: checks the configuration, then runs wrangler.
 *
 *     node src/deploy/run.ts <command of wrangler> <option>…
 */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { deploymentProblems } from "./deployment-problems.ts";

const args = process.argv.slice(2);
try {
  const problems = deploymentProblems(args);
  if (problems.length > 0) throw new Error(["Not deployed. Fix this first:", ...problems].join("\n  "));
  const wrangler = dirname(createRequire(import.meta.url).resolve("wrangler/package.json"));
  const { status } = spawnSync(process.execPath, [join(wrangler, "bin/wrangler.js"), ...args], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
