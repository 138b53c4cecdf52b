import { Command } from "commander";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { Exit } from "../terminal/exit.ts";
import { note, print } from "../terminal/output.ts";

interface ListOptions extends EndpointOptions {
  prefix?: string;
  json?: boolean;
}

const SHA1_DIGITS = 40;

export const listCommand = new Command("list")
  .summary("print the resources in the cache")
  .description(
    "Prints the resources in the cache, one per line: <sha1> <size in bytes>. `import` reads them.",
  )
  .option("--prefix <digits>", "only those whose SHA-1 starts with these hex digits")
  .option("--json", "print each as a line of JSON, as in the API")
  .addHelpText("after", "\nExample:\n  resource-pool list --url https://matches.example.net > resources.txt")
  .action(async ({ prefix = "", json, ...options }: ListOptions) => {
    const start = prefix.toLowerCase();
    if (!/^[0-9a-f]{0,40}$/.test(start)) {
      throw new Exit("usage", `--prefix must be the start of a SHA-1 in hex, not ${prefix}`);
    }
    const client = new CacheClient(endpointOf(options));
    let isEmpty = true;
    for await (const resources of client.resources(lastSha1Before(start))) {
      const found = resources.filter(({ checksum }) => checksum.value.startsWith(start));
      const lines = found.map((resource) =>
        json ? JSON.stringify(resource) : `${resource.checksum.value} ${resource.size_in_bytes}`,
      );
      if (lines.length > 0) await print(lines.join("\n"));
      isEmpty &&= lines.length === 0;
      // They are sorted by SHA-1.
      if (found.length < resources.length) break;
    }
    if (isEmpty)
      note(start === "" ? "The cache is empty." : `The cache has no SHA-1 that starts with ${start}.`);
  });

/** The last SHA-1 before those with the prefix; undefined if there is none. */
function lastSha1Before(prefix: string): string | undefined {
  const first = BigInt(`0x${prefix.padEnd(SHA1_DIGITS, "0")}`);
  return first === 0n ? undefined : (first - 1n).toString(16).padStart(SHA1_DIGITS, "0");
}
