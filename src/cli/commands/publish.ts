import { Command } from "commander";
import { formatCount } from "../../format.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { printResult } from "../terminal/output.ts";

export const publishCommand = new Command("publish")
  .summary("publish the whole cache again")
  .description(
    "Makes the Worker write a new snapshot and all keys again. This repairs a Workers KV namespace that was damaged, " +
      "emptied or replaced. The command returns before that is done: see `status`.",
  )
  .option("--json", "print the status as JSON")
  .addHelpText("after", "\nExample:\n  resource-pool publish --url https://matches.example.net")
  .action(async ({ json, ...options }: EndpointOptions & { json?: boolean }) => {
    const status = await new CacheClient(endpointOf(options)).publish();
    const resources = status.entries === 0 ? "the empty cache" : formatCount(status.entries, "resource");
    await printResult(json, status, `Started to publish ${resources} again. \`status\` shows the progress.`);
  });
