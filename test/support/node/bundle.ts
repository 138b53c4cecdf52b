import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { PROJECT_ROOT } from "./project-root.ts";

/** The modules of a Worker by name. The first is the main module. */
export type Modules = Record<
  string,
  { type: "esm"; contents: string } | { type: "wasm"; contents: Uint8Array<ArrayBuffer> }
>;

/** The name by which the Worker imports it. */
const WASM = "module.wasm";

/** Bundles a Worker like wrangler, in a tenth of the time. @param entry relative to the project */
export async function bundleWorker(entry = "src/index.ts"): Promise<Modules> {
  const { outputFiles } = await build({
    entryPoints: [join(PROJECT_ROOT, entry)],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "*.wasm"],
    write: false,
  });
  return {
    "index.js": { type: "esm", contents: outputFiles[0]?.text ?? "" },
    [WASM]: { type: "wasm", contents: new Uint8Array(readFileSync(join(PROJECT_ROOT, "src/bytes", WASM))) },
  };
}
