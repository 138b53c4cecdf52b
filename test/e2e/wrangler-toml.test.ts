import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

/** Bundles the Worker with another wrangler.toml, and returns what wrangler prints. */
async function dryRun(toml: string): Promise<string> {
  // In the project, because wrangler resolves `main` against the directory of the configuration.
  const directory = await mkdtemp(join(PROJECT_ROOT, ".wrangler-toml-"));
  try {
    await writeFile(join(directory, "wrangler.toml"), toml.replace('"src/index.ts"', '"../src/index.ts"'));
    const args = ["deploy", "--dry-run", "--config", join(directory, "wrangler.toml")];
    const env = { ...process.env, WRANGLER_SEND_METRICS: "false" };
    const wrangler = join(PROJECT_ROOT, "node_modules/.bin/wrangler");
    const { stdout, stderr } = await promisify(execFile)(wrangler, args, { env });
    return stdout + stderr;
  } finally {
    await rm(directory, { recursive: true });
  }
}

it("finds only blocks in wrangler.toml that wrangler accepts once they are uncommented", async () => {
  const toml = await readFile(join(PROJECT_ROOT, "wrangler.toml"), "utf8");
  const printed = await dryRun(toml.replaceAll(/^# (?=\[|\w+ = )/gm, ""));
  // Wrangler only warns of names that it does not know.
  expect(printed).not.toContain("Unexpected fields");
  for (const name of ["RESOURCE_CACHE", "CATALOG", "POOL_BUCKET", "RATE_LIMITER", "METRICS"]) {
    expect(printed).toContain(`env.${name}`);
  }
  for (const name of [
    "CLOUD_CONTROLLER_URL",
    "MINIMUM_FILE_MODE",
    "UAA_ISSUER",
    "KV_CACHE_TTL",
    "KEY_PREFIX",
    "KEYS_PER_DAY",
    "DATA_JURISDICTION",
    "CATALOG_LOCATION",
  ]) {
    expect(printed).toContain(`env.${name}`);
  }
});
