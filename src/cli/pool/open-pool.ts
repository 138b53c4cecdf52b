import { type Command, Option } from "commander";
import { Exit } from "../exit.ts";
import { deployedCache, wranglerToml } from "../project.ts";
import type { Pool } from "./pool.ts";

export interface PoolOptions {
  local?: boolean;
  remote?: boolean;
  config?: string;
  env?: string;
  namespaceId?: string;
}

/** The options that say which cache a subcommand works on. */
export function withPoolOptions(command: Command): Command {
  return command
    .optionsGroup("Which cache:")
    .addOption(new Option("--local", "the KV that `wrangler dev` serves (default)").conflicts("remote"))
    .addOption(
      new Option(
        "--remote",
        "the KV of the deployed Worker, through Cloudflare's API with CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN",
      ),
    )
    .option("--namespace-id <id>", "with --remote: the KV namespace, if wrangler.toml has no id")
    .option("--config <path>", "the Worker's wrangler.toml (default: this project's)")
    .option("--env <name>", "the environment of wrangler.toml");
}

/**
 * Opens the cache that the options name, and closes it after `use`.
 *
 * @param signal aborted when nothing new may be begun
 */
export async function withPool<T>(
  options: PoolOptions,
  signal: AbortSignal,
  use: (pool: Pool) => Promise<T>,
): Promise<T> {
  const pool = await openPool(options, signal);
  try {
    return await use(pool);
  } finally {
    await pool.close();
  }
}

async function openPool(options: PoolOptions, signal: AbortSignal): Promise<Pool> {
  const configPath = wranglerToml(options.config);
  if (!options.remote) {
    if (options.namespaceId !== undefined) {
      throw new Exit("wrong-usage", "--namespace-id goes with --remote.");
    }
    // What wrangler tells in passing would stand among the data on stdout.
    process.env.WRANGLER_LOG ??= "warn";
    // Imported only when needed: it takes a second.
    const { openLocalPool } = await import("./local-pool.ts");
    return openLocalPool({ configPath, environment: options.env, signal });
  }
  const accountId = neededVariable("CLOUDFLARE_ACCOUNT_ID");
  const apiToken = neededVariable("CLOUDFLARE_API_TOKEN");
  const cache = deployedCache(configPath, options.env);
  const namespaceId = options.namespaceId ?? cache.namespaceId;
  if (!namespaceId) {
    throw new Exit(
      "failed",
      `${configPath} has no id for the KV namespace RESOURCE_CACHE. The first \`wrangler deploy\` creates the namespace\n` +
        "and writes its id there; `wrangler kv namespace list` shows it too, for --namespace-id.",
    );
  }
  const { openRemotePool } = await import("./remote-pool.ts");
  return openRemotePool({ accountId, apiToken, namespaceId, keyPrefix: cache.keyPrefix });
}

function neededVariable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Exit("wrong-usage", `--remote needs the environment variable ${name}.`);
  return value;
}
