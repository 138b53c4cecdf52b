import { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { print, printJson, table } from "../terminal/output.ts";

export const statusCommand = new Command("status")
  .summary("show the state of the cache")
  .description("Shows what is in the cache, what of it is published, and the Worker's settings.")
  .option("--json", "print the result as JSON")
  .addHelpText("after", "\nExample:\n  resource-pool status --url https://api.example.com")
  .action(async ({ json, ...options }: EndpointOptions & { json?: boolean }) => {
    const status = await new CacheClient(endpointOf(options)).status();
    if (json) await printJson(status);
    else await printStatus(status);
  });

async function printStatus(status: CacheStatus): Promise<void> {
  const { published, snapshot, refused } = status;
  const delta = published?.delta ?? { added: 0, removed: 0 };
  const rows = [
    ["version", status.version],
    ["entries", formatCount(status.entries, "resource")],
    ["published", published ? published.at : "not yet"],
    [
      "snapshot",
      snapshot ? `${formatCount(snapshot.entries, "resource")}, built at ${snapshot.built_at}` : "none",
    ],
    [
      "delta",
      `${formatNumber(delta.added)} added, ${formatNumber(delta.removed)} removed since the snapshot`,
    ],
    ["unpublished", status.dirty_since ? `changes since ${status.dirty_since}` : "nothing"],
    ["suspended", status.suspended_until ? `until ${status.suspended_until}` : "no"],
    ["keys waiting", formatNumber(status.keys_waiting)],
    ["removals", formatNumber(status.removals)],
  ];
  for (const [reason, count] of Object.entries(refused))
    rows.push([`refused: ${reason}`, formatNumber(count)]);
  const settings = Object.entries(status.configuration).map(([name, value]) => [
    name,
    String(value ?? "unset"),
  ]);
  await print(`${table(rows)}\n\n${table(settings)}`);
}
