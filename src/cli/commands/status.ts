import { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { printResult, table } from "../terminal/output.ts";

export const statusCommand = new Command("status")
  .summary("show the state of the cache")
  .description("Shows how many resources the cache has, what is published, and the Worker's settings.")
  .option("--json", "print the result as JSON")
  .addHelpText("after", "\nExample:\n  resource-pool status --url https://matches.example.net")
  .action(async ({ json, ...options }: EndpointOptions & { json?: boolean }) => {
    const status = await new CacheClient(endpointOf(options)).status();
    await printResult(json, status, statusText(status));
  });

function statusText(status: CacheStatus): string {
  const { published, snapshot } = status;
  const { dirty_since: dirtySince, suspended_until: suspendedUntil, forgotten_at: forgottenAt } = status;
  const { added, removed } = published?.delta ?? { added: 0, removed: 0 };
  const isDeltaEmpty = added + removed === 0;
  const rows = [
    ["version", status.version],
    ["entries", status.entries === 0 ? "none: the cache is empty" : formatCount(status.entries, "resource")],
    ["published", published?.at ?? "not yet"],
    [
      "snapshot",
      snapshot ? `${formatCount(snapshot.entries, "resource")}, built at ${snapshot.built_at}` : "none",
    ],
    [
      "delta",
      isDeltaEmpty
        ? "none"
        : `${formatNumber(added)} added, ${formatNumber(removed)} removed${snapshot ? " since the snapshot" : ""}`,
    ],
    ["unpublished", dirtySince ? `changes since ${dirtySince}` : "nothing"],
    ["suspended", suspendedUntil ? `until ${suspendedUntil}; \`doctor\` shows what to do` : "no"],
    ["forgotten", forgottenAt ? `at ${forgottenAt}` : "never"],
    ["keys waiting", formatNumber(status.keys_waiting)],
    ["removals", formatNumber(status.removals)],
  ];
  for (const [reason, count] of Object.entries(status.refused)) {
    rows.push([`refused: ${reason}`, formatNumber(count)]);
  }
  const variables = Object.entries(status.configuration);
  const settings = variables.map(([name, value]) => [name, String(value ?? "unset")]);
  return `${table(rows)}\n\n${table(settings)}`;
}
