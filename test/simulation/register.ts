/**
 * Lets Node load the Worker's source as it stands: `node --import ./test/simulation/register.ts …`. With the variable
 * SIMULATION_MUTATION, one of its files is changed while it is loaded.
 */
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { wasmModule } from "../wasm-module.ts";
import { mutatedText } from "./mutated.ts";

const platform = new URL("./platform/cloudflare-workers.ts", import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers" ? { url: platform, shortCircuit: true } : next(specifier, context),
  load: (url, context, next) => {
    if (!url.startsWith("file:")) return next(url, context);
    const path = fileURLToPath(url);
    if (path.endsWith(".wasm")) return { format: "module", source: wasmModule(path), shortCircuit: true };
    const source = mutatedText(path);
    return source === undefined
      ? next(url, context)
      : { format: "module-typescript", source, shortCircuit: true };
  },
});
