/**
 * A process that does a thing once, and prints how many milliseconds that took.
 *
 *     node --import …/register.ts cold-call.ts pipeline|json <folder that holds request.json, answer.json, pointer.json and the parts>
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { timed } from "./measure.ts";

const [way, folder = ""] = process.argv.slice(2);
const read = (name: string) => readFileSync(join(folder, name), "utf8");
const request = new Uint8Array(readFileSync(join(folder, "request.json")));
// Node loads its fetch when this is first named, for as long as all else takes; workerd has it at hand.
void globalThis.Response;

if (way === "pipeline") {
  const { answerTo } = await import("./pipeline.ts");
  const { openCache } = await import("./pool.ts");
  const pointer = JSON.parse(read("pointer.json"));
  const parts = Array.from({ length: pointer.snapshot.parts }, (_, number) => {
    const { buffer, byteOffset, byteLength } = readFileSync(join(folder, `part-${number}`));
    return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  });
  const cache = openCache({ pointer, parts });
  console.log(await timed(() => answerTo(request, cache)));
} else {
  const answer = JSON.parse(read("answer.json"));
  const { jsonAlone } = await import("./pipeline.ts");
  console.log(await timed(() => jsonAlone(request, answer)));
}
