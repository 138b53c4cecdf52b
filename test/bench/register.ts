/** Makes Node.js load the Worker's source: `node --import ./test/bench/register.ts …`. */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { wasmModule } from "../wasm-module.ts";

await import("../../src/bytes/build.js");

const SOURCE = new URL("../../src/", import.meta.url).href;

registerHooks({
  load(url, context, next) {
    if (url.endsWith(".wasm")) return toModule(wasmModule(fileURLToPath(url)));
    // Minified as it is deployed: some loops take half the time with inlined constants.
    if (url.startsWith(SOURCE) && url.endsWith(".ts")) return toModule(minify(fileURLToPath(url)));
    return next(url, context);
  },
});

function toModule(source: string) {
  return { format: "module" as const, source, shortCircuit: true };
}

function minify(path: string): string {
  const options = { loader: "ts", format: "esm", target: "es2024", minifySyntax: true } as const;
  return transformSync(readFileSync(path, "utf8"), options).code;
}
