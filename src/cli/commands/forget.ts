import { Command } from "commander";
import { formatCount } from "../../format.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { Exit } from "../terminal/exit.ts";
import { printText } from "../terminal/output.ts";

export const forgetCommand = new Command("forget")
  .summary("empty the cache")
  .description(
    "Empties the cache, for a pool that was wiped, replaced or restored from a backup, and ends a suspension. From then on, " +
      "observations that were made before are refused. Run `sync` to fill the cache again. Until then pushes work, and upload more.",
  )
  .option("--yes", "empty the cache; without this option, only print how many resources it has")
  .addHelpText("after", "\nExample:\n  resource-pool forget --yes --url https://matches.example.net")
  .action(async ({ yes, ...options }: EndpointOptions & { yes?: boolean }) => {
    const endpoint = endpointOf(options);
    const client = new CacheClient(endpoint);
    const { entries, suspended_until: suspendedUntil } = await client.status();
    const resources = `${formatCount(entries, "resource")} from the cache of ${endpoint.url}`;
    if (!yes) {
      const found =
        entries === 0 ? `The cache of ${endpoint.url} is empty.` : `This would remove ${resources}.`;
      const effect = entries === 0 ? "To refuse earlier observations" : "Nothing was removed. To do it";
      throw new Exit("usage", `${found} ${effect}, add --yes.`);
    }
    await client.forget();
    const removed =
      entries === 0 ? `The cache of ${endpoint.url} was already empty.` : `Removed ${resources}.`;
    await printText(`${removed}${suspendedUntil ? " The suspension has ended." : ""}`);
  });
