/**
 * Processes one request, and prints the duration of each step as JSON.
 *
 *     node --import …/register.ts cold-call.ts pipeline|json <folder with request.json, response.json, manifest.json and the parts>
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { measureMs } from "./measure.ts";

/** Durations in ms. With JSON alone only `request` is measured. */
export interface ColdCall {
  /** Compiling the WebAssembly module. Its functions are compiled later, at their first call. */
  compile: number;
  /** Reading manifest and snapshot from a KV that takes no time. */
  open: number;
  /** From request bytes to response bytes. */
  request: number;
}

const [way, folder = ""] = process.argv.slice(2);
const read = (name: string) => readFileSync(join(folder, name), "utf8");
const request = new Uint8Array(readFileSync(join(folder, "request.json")));
// Node.js loads fetch at the first use of this global, which takes as long as everything else. workerd has it loaded.
void globalThis.Response;

const durations: ColdCall = { compile: 0, open: 0, request: 0 };
if (way === "pipeline") {
  const wasm = readFileSync(new URL("../../../src/bytes/module.wasm", import.meta.url));
  durations.compile = await measureMs(() => void new WebAssembly.Module(wasm));
  const { matchBytes, loadSnapshot } = await import("./pipeline.ts");
  const { openCache } = await import("./pool.ts");
  const manifest = JSON.parse(read("manifest.json"));
  const parts = Array.from({ length: manifest.snapshot.parts }, (_, number) => {
    const { buffer, byteOffset, byteLength } = readFileSync(join(folder, `part-${number}`));
    return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  });
  const cache = openCache({ manifest, parts });
  durations.open = await measureMs(() => loadSnapshot(cache));
  durations.request = await measureMs(() => matchBytes(request, cache));
} else {
  const response = JSON.parse(read("response.json"));
  const { jsonAlone } = await import("./pipeline.ts");
  durations.request = await measureMs(() => jsonAlone(request, response));
}
console.log(JSON.stringify(durations));
