import type { Command } from "commander";
import { parseCacheKey } from "../../resource-pool/resource-key.ts";
import { Exit } from "../exit.ts";
import { print } from "../output.ts";
import { type PoolOptions, withPool, withPoolOptions } from "../pool/open-pool.ts";

interface ListOptions extends PoolOptions {
  prefix: string;
  json?: boolean;
}

export function registerList(program: Command): void {
  const command = program
    .command("list")
    .summary("print the resources in the cache")
    .description(
      "Prints the resources in the cache, a line each: <sha1> <size in bytes>. `import` reads them.",
    )
    .option("--prefix <start>", "only those whose SHA-1 starts so", "")
    .option("--json", "print each as a line of JSON, as the API writes a resource")
    .addHelpText("after", "\nExample:\n  resource-pool list --prefix 0a > resources.txt");

  withPoolOptions(command).action(async (options: ListOptions) => {
    const start = options.prefix.toLowerCase();
    if (!/^[0-9a-f]{0,40}$/.test(start)) {
      throw new Exit("wrong-usage", `--prefix is the start of a SHA-1 in hex, not ${options.prefix}`);
    }
    await withPool(options, new AbortController().signal, async (pool) => {
      for await (const names of pool.list(pool.keyPrefix + start)) {
        const lines = names.flatMap((name) => {
          const resource = parseCacheKey(name, pool.keyPrefix);
          if (!resource) return [];
          const { sha1, size } = resource;
          return options.json
            ? JSON.stringify({ checksum: { value: sha1 }, size_in_bytes: size })
            : `${sha1} ${size}`;
        });
        if (lines.length > 0) await print(lines.join("\n"));
      }
    });
  });
}
