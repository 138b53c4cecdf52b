/**
 * Lets Node load the Worker's source: `node --import ./test/simulation/register.ts …`. The variable SIMULATION_MUTATION
 * names a mutation to apply.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { wasmModule } from "../wasm-module.ts";
import { mutatedSource } from "./mutated-source.ts";

const platform = new URL("./platform/cloudflare-workers.ts", import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers" ? { url: platform, shortCircuit: true } : next(specifier, context),
  load: (url, context, next) => {
    if (!url.startsWith("file:")) return next(url, context);
    const path = fileURLToPath(url);
    if (path.endsWith(".wasm")) return { format: "module", source: wasmModule(path), shortCircuit: true };
    if (path.endsWith("package.json"))
      return { format: "module", source: versionModule(path), shortCircuit: true };
    const source = mutatedSource(path);
    return source === undefined
      ? next(url, context)
      : { format: "module-typescript", source, shortCircuit: true };
  },
});

/** Exports the version of a package by its name, as a bundler does. Node.js has only a default export for JSON. */
function versionModule(path: string): string {
  const { version } = JSON.parse(readFileSync(path, "utf8"));
  return `export const version = ${JSON.stringify(version)};`;
}
