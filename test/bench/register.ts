/** Lets Node load the Worker's source: `node --import ./test/bench/register.ts …`. */
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { wasmModule } from "../wasm-module.ts";

await import("../../src/bytes/build.js");

registerHooks({
  load: (url, context, next) =>
    url.endsWith(".wasm")
      ? { format: "module", source: wasmModule(fileURLToPath(url)), shortCircuit: true }
      : next(url, context),
});
