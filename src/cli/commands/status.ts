import type { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf, withEndpointOptions } from "../api/endpoint.ts";
import { print, printJson, table } from "../terminal/output.ts";

export function registerStatus(program: Command): void {
  const command = program
    .command("status")
    .summary("tell how the cache is")
    .description(
      "Tells what the cache holds, what of it is published to the edge, and how the Worker is set up.",
    )
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  resource-pool status --url https://api.example.com");

  withEndpointOptions(command).action(async ({ json, ...options }: EndpointOptions & { json?: boolean }) => {
    const status = await new CacheClient(endpointOf(options), new AbortController().signal).status();
    if (json) await printJson(status);
    else await printStatus(status);
  });
}

export async function printStatus(status: CacheStatus): Promise<void> {
  const { published, snapshot, refused } = status;
  const rows = [
    ["version", status.version],
    ["holds", formatCount(status.entries, "resource")],
    ["published", published ? published.at : "nothing yet"],
    [
      "snapshot",
      snapshot ? `${formatCount(snapshot.entries, "resource")}, built at ${snapshot.built_at}` : "none",
    ],
    [
      "changes since",
      `${formatNumber(published?.delta.added ?? 0)} present, ${formatNumber(published?.delta.removed ?? 0)} removed`,
    ],
    ["to be published", status.dirty_since ? `since ${status.dirty_since}` : "nothing"],
    ["suspended", status.suspended_until ? `until ${status.suspended_until}` : "no"],
    ["keys waiting", formatNumber(status.keys_waiting)],
    ["removals remembered", formatNumber(status.tombstones)],
    ...Object.entries(refused).map(([reason, count]) => [`refused: ${reason}`, formatNumber(count)]),
  ];
  const settings = Object.entries(status.configuration).map(([name, value]) => [
    name,
    String(value ?? "unset"),
  ]);
  await print(`${table(rows)}\n\n${table(settings)}`);
}
