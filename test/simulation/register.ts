/**
 * Lets Node load the Worker's source as it stands: `node --import ./test/simulation/register.ts …`. With the variable
 * SIMULATION_MUTATION, one of its files is changed while it is loaded.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { wasmModule } from "../wasm-module.ts";
import { MUTATIONS } from "./mutations.ts";

const root = new URL("../../", import.meta.url);
const platform = new URL("./platform/cloudflare-workers.ts", import.meta.url).href;

const name = process.env.SIMULATION_MUTATION;
const mutation = name === undefined ? undefined : MUTATIONS[name];
if (name !== undefined && !mutation)
  throw new Error(`no mutation ${name}; there are ${Object.keys(MUTATIONS)}`);
const mutated = mutation && new URL(mutation.file, root).href;
const source = mutation && mutated && mutate(readFileSync(fileURLToPath(mutated), "utf8"), mutation);

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers" ? { url: platform, shortCircuit: true } : next(specifier, context),
  load: (url, context, next) => {
    if (url.endsWith(".wasm"))
      return { format: "module", source: wasmModule(fileURLToPath(url)), shortCircuit: true };
    return url === mutated && source !== undefined
      ? { format: "module-typescript", source, shortCircuit: true }
      : next(url, context);
  },
});

function mutate(text: string, { file, from, to }: { file: string; from: string; to: string }): string {
  const pieces = text.split(from);
  if (pieces.length !== 2) throw new Error(`${file} has ${pieces.length - 1} times: ${from}`);
  return pieces.join(to);
}
