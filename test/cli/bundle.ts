import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { TestProject } from "vitest/node";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Path of the command, as a program for Node.js. */
    resourcePool: string;
  }
}

/** Bundles the command once for all tests that run it: its source would be compiled anew by every process. */
export default async function bundle(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "resource-pool-command-"));
  await build({
    absWorkingDir: PROJECT_ROOT,
    entryPoints: ["src/cli/main.ts"],
    outdir: directory,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    // What a subcommand does not need is not loaded.
    splitting: true,
    platform: "node",
    format: "esm",
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);',
    },
  });
  const command = join(directory, "bin.mjs");
  const cache = JSON.stringify(join(directory, "compiled"));
  await writeFile(
    command,
    `(await import("node:module")).enableCompileCache(${cache});\nawait import("./main.mjs");\n`,
  );
  project.provide("resourcePool", command);
  return () => rm(directory, { recursive: true, force: true });
}
