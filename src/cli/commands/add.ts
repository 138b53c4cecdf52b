import { Command } from "commander";
import { type ResourceKey, resourceKey } from "../../resources/resource-key.ts";
import { appFiles, noFilesIn, type ReadFile } from "../app-files/app-files.ts";
import { type AddOptions, addResources } from "./add-resources.ts";

export const addCommand = new Command("add")
  .summary("hash files and add them to the cache")
  .description(
    "Hashes files as `cf push` does, and adds them to the cache. Add only files that the platform's resource pool has: a " +
      "push that relies on another file fails.\n\n" +
      "Of a directory or an archive (.zip, .jar, .war, .ear) it adds the files that `cf push` would push, without links and " +
      "empty files. Any other file is added itself.",
  )
  .argument("<path...>", "directories, archives or files")
  .option("--dry-run", "count the files, and send nothing to the Worker")
  .option("--json", "print the result as JSON")
  .addHelpText(
    "after",
    "\nExample:\n  resource-pool add dist/ target/app.jar --url https://matches.example.net",
  )
  .action((paths: string[], options: AddOptions) =>
    addResources(options, async () => {
      const notAdded = { unreadable: 0 };
      const files = await appFiles(paths, notAdded);
      return { keys: distinctKeys(files, paths, notAdded), notAdded };
    }),
  );

/** @throws Exit at the end if there was no file */
async function* distinctKeys(
  files: AsyncIterable<ReadFile>,
  paths: readonly string[],
  notAdded: Readonly<{ unreadable: number }>,
): AsyncGenerator<ResourceKey> {
  const keys = new Set<ResourceKey>();
  for await (const file of files) {
    const key = file.kind === "hashed" ? resourceKey(file.sha1, file.size) : undefined;
    if (key === undefined || keys.has(key)) continue;
    // Reported twice, it would count as already present.
    keys.add(key);
    yield key;
  }
  if (keys.size === 0 && notAdded.unreadable === 0) throw noFilesIn(paths);
}
