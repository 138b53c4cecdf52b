/**
 * A process that does a thing once, and prints how many milliseconds each step of it took, as JSON.
 *
 *     node --import …/register.ts cold-call.ts pipeline|json <folder that holds request.json, answer.json, manifest.json and the parts>
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { timed } from "./measure.ts";

/** What a process has measured, in ms; of JSON alone only the request. */
export interface ColdCall {
  /** Compiling the WebAssembly module, before any of its functions is called. */
  compile: number;
  /** Reading manifest and snapshot, from a KV that takes no time. */
  open: number;
  /** From the bytes of the request to the bytes of the answer. */
  request: number;
}

const [way, folder = ""] = process.argv.slice(2);
const read = (name: string) => readFileSync(join(folder, name), "utf8");
const request = new Uint8Array(readFileSync(join(folder, "request.json")));
// Node loads its fetch when this is first named, for as long as all else takes; workerd has it at hand.
void globalThis.Response;

const took: ColdCall = { compile: 0, open: 0, request: 0 };
if (way === "pipeline") {
  const wasm = readFileSync(new URL("../../../src/bytes/module.wasm", import.meta.url));
  took.compile = await timed(() => void new WebAssembly.Module(wasm));
  const { matchBytes: answerTo, loadSnapshot: openedBy } = await import("./pipeline.ts");
  const { openCache } = await import("./pool.ts");
  const manifest = JSON.parse(read("manifest.json"));
  const parts = Array.from({ length: manifest.snapshot.parts }, (_, number) => {
    const { buffer, byteOffset, byteLength } = readFileSync(join(folder, `part-${number}`));
    return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  });
  const cache = openCache({ manifest, parts });
  took.open = await timed(() => openedBy(cache));
  took.request = await timed(() => answerTo(request, cache));
} else {
  const answer = JSON.parse(read("answer.json"));
  const { jsonAlone } = await import("./pipeline.ts");
  took.request = await timed(() => jsonAlone(request, answer));
}
console.log(JSON.stringify(took));
