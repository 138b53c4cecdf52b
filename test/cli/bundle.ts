import { mkdtemp, rm } from "node:fs/promises";
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

/** Bundles the command once for all tests that run it. Hundreds of processes share its compile cache. */
export default async function bundle(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "resource-pool-command-"));
  await build({
    absWorkingDir: PROJECT_ROOT,
    entryPoints: ["src/cli/main.ts"],
    outdir: directory,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    // A process loads only what its subcommand needs.
    splitting: true,
    platform: "node",
    format: "esm",
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);',
    },
  });
  process.env.NODE_COMPILE_CACHE = join(directory, "compiled");
  project.provide("resourcePool", join(directory, "main.mjs"));
  // Processes that were interrupted may still write to the compile cache.
  return () => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
