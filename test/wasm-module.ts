import { readFileSync } from "node:fs";

/**
 * JavaScript that replaces a `.wasm` file where Node runs the Worker's source: it exports what workerd makes of the
 * file, a compiled module.
 */
export function wasmModule(path: string): string {
  const base64 = readFileSync(path).toString("base64");
  return `export default new WebAssembly.Module(Buffer.from("${base64}", "base64"));`;
}
