import type { Command } from "commander";
import { CacheClient } from "../api/cache-client.ts";
import { type EndpointOptions, endpointOf, withEndpointOptions } from "../api/endpoint.ts";
import { Exit } from "../terminal/exit.ts";
import { print } from "../terminal/output.ts";

interface ListOptions extends EndpointOptions {
  prefix: string;
  json?: boolean;
}

const SHA1_DIGITS = 40;

export function registerList(program: Command): void {
  const command = program
    .command("list")
    .summary("print the resources in the cache")
    .description(
      "Prints the resources in the cache, a line each: <sha1> <size in bytes>. `import` reads them.",
    )
    .option("--prefix <start>", "only those whose SHA-1 starts so", "")
    .option("--json", "print each as a line of JSON, as the API writes a resource")
    .addHelpText("after", "\nExample:\n  resource-pool list --url https://api.example.com > resources.txt");

  withEndpointOptions(command).action(async ({ prefix, json, ...options }: ListOptions) => {
    const start = prefix.toLowerCase();
    if (!/^[0-9a-f]{0,40}$/.test(start)) {
      throw new Exit("wrong-usage", `--prefix is the start of a SHA-1 in hex, not ${prefix}`);
    }
    const client = new CacheClient(endpointOf(options), new AbortController().signal);
    for await (const resources of client.resources(lastBefore(start))) {
      const found = resources.filter(({ checksum }) => checksum.value.startsWith(start));
      const lines = found.map((resource) =>
        json ? JSON.stringify(resource) : `${resource.checksum.value} ${resource.size_in_bytes}`,
      );
      if (lines.length > 0) await print(lines.join("\n"));
      // They come in the order of their SHA-1s.
      if (found.length < resources.length) return;
    }
  });
}

/** The SHA-1 before all that start so; undefined where there is none. */
function lastBefore(start: string): string | undefined {
  const first = BigInt(`0x${start.padEnd(SHA1_DIGITS, "0")}`);
  return first === 0n ? undefined : (first - 1n).toString(16).padStart(SHA1_DIGITS, "0");
}
