/**
 * Lets Node load the Worker's source: `node --import ./test/simulation/register.ts …`. The variable SIMULATION_MUTATION
 * names a mutation to apply.
 */
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
    const source = mutatedSource(path);
    return source === undefined
      ? next(url, context)
      : { format: "module-typescript", source, shortCircuit: true };
  },
});
