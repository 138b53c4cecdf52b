/**
 * Lets Node load the Worker's source, whose WebAssembly module comes compiled in workerd: `node --import
 * ./test/bench/register.ts …`.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";

await import("../../src/bytes/build.js");

registerHooks({
  load: (url, context, next) =>
    url.endsWith(".wasm")
      ? { format: "module", source: compiling(url), shortCircuit: true }
      : next(url, context),
});

function compiling(url: string): string {
  const base64 = readFileSync(new URL(url)).toString("base64");
  return `export default new WebAssembly.Module(Buffer.from("${base64}", "base64"));`;
}
