import type { Command } from "commander";
import { formatCount } from "../../format.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf, withEndpointOptions } from "../api/endpoint.ts";
import { Exit } from "../terminal/exit.ts";
import { print } from "../terminal/output.ts";

export function registerForget(program: Command): void {
  const command = program
    .command("forget")
    .summary("empty the cache")
    .description(
      "Empties the cache, for a pool that was wiped, replaced or restored from a backup. What was seen before is not " +
        "believed afterwards; `sync` fills the cache again. Pushes go on meanwhile, and upload more.",
    )
    .option("--yes", "do it")
    .addHelpText("after", "\nExample:\n  resource-pool forget --yes --url https://api.example.com");

  withEndpointOptions(command).action(async ({ yes, ...options }: EndpointOptions & { yes?: boolean }) => {
    const endpoint = endpointOf(options);
    const client = new CacheClient(endpoint, new AbortController().signal);
    const { entries } = await client.status();
    const what = `${formatCount(entries, "resource")} of ${endpoint.url}`;
    if (!yes) throw new Exit("wrong-usage", `This would forget ${what}; with --yes it does.`);
    await client.forget();
    await print(`${what} forgotten`);
  });
}
