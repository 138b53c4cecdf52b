import type { Command } from "commander";
import { formatCount } from "../../format.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf, withEndpointOptions } from "../api/endpoint.ts";
import { print, printJson } from "../terminal/output.ts";

export function registerPublish(program: Command): void {
  const command = program
    .command("publish")
    .summary("publish everything anew")
    .description(
      "Has a new snapshot written, and all keys again: mends a Workers KV namespace that was damaged, emptied or " +
        "replaced. It goes on behind the command; `status` tells how far it is.",
    )
    .option("--json", "print the status as JSON")
    .addHelpText("after", "\nExample:\n  resource-pool publish --url https://api.example.com");

  withEndpointOptions(command).action(async ({ json, ...options }: EndpointOptions & { json?: boolean }) => {
    const status = await new CacheClient(endpointOf(options), new AbortController().signal).publish();
    if (json) await printJson(status);
    else await print(`${formatCount(status.entries, "resource")} are being published anew`);
  });
}
