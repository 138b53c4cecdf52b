import type { Command } from "commander";
import { type ResourceKey, resourceKey } from "../../resources/resource-key.ts";
import { withEndpointOptions } from "../api/endpoint.ts";
import { appFiles, type LeftOut, noFileIn, type ReadFile } from "../app-files/app-files.ts";
import { type AddOptions, addResources } from "./add-resources.ts";

export function registerAdd(program: Command): void {
  const command = program
    .command("add")
    .summary("hash files and add them to the cache")
    .description(
      "Hashes files as cf CLI would for a push, and adds them to the cache. Add only files that the platform's " +
        "resource pool does hold: of a file that is wrongly in the cache, pushes leave out the bytes, and fail.\n\n" +
        "A directory is read as cf CLI reads it: .cfignore and cf CLI's own ignore list apply, symbolic links and " +
        "empty files are passed over. Of an archive (.zip, .jar, .war, .ear) the files in it are added. Any other " +
        "file is added itself.",
    )
    .argument("<path...>", "directories, archives or files")
    .option("--dry-run", "say how many there are, and tell the Worker nothing")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  resource-pool add dist/ target/app.jar --url https://api.example.com",
    );

  withEndpointOptions(command).action((paths: string[], options: AddOptions) =>
    addResources(options, async () => {
      const leftOut: LeftOut = { count: 0 };
      const files = await appFiles(paths, leftOut);
      return {
        keys: keysOf(files, paths, leftOut),
        leftOut: () => ({ counts: { leftOut: leftOut.count }, isIncomplete: leftOut.count > 0 }),
      };
    }),
  );
}

/** @throws Exit at the end where there was no file */
async function* keysOf(
  files: AsyncIterable<ReadFile>,
  paths: readonly string[],
  leftOut: Readonly<LeftOut>,
): AsyncGenerator<ResourceKey> {
  const seen = new Set<ResourceKey>();
  for await (const file of files) {
    const key = file.kind === "hashed" ? resourceKey(file.sha1, file.size) : undefined;
    if (key === undefined || seen.has(key)) continue;
    // Otherwise a copy of a file would be told as having been there already.
    seen.add(key);
    yield key;
  }
  if (seen.size === 0 && leftOut.count === 0) throw noFileIn(paths);
}
