/**
 * Loads a snapshot, processes one request, and prints the memory that both take as JSON.
 *
 *     node --expose-gc --import …/register.ts memory-call.ts <folder with body, manifest.json and the parts>
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { EdgeCache } from "../../../src/cache/edge-cache.ts";
import { MANIFEST_NAME } from "../../../src/cache/manifest.ts";
import { peakOf, resetPeak, usageOf } from "../../support/node/processes.ts";
import { loadSnapshot, matchBytes } from "./pipeline.ts";

/** In bytes, beyond the memory of the process with the code alone. */
export interface MemoryCall {
  snapshot: number;
  /** The peak, with the snapshot. */
  request: number;
}

const SWEEP_MS = 50;
const [folder = ""] = process.argv.slice(2);
const readBytes = (name: string): ArrayBuffer => {
  const bytes = readFileSync(join(folder, name));
  const isWhole = bytes.byteLength === bytes.buffer.byteLength;
  return (isWhole ? bytes.buffer : Uint8Array.from(bytes).buffer) as ArrayBuffer;
};
const rejectWrite = () => Promise.reject(new Error("this KV is read-only"));
// Node.js has no `scheduler`.
globalThis.scheduler ??= { wait: () => new Promise((resolve) => setImmediate(resolve)) };
const store = {
  getText: async (name: string) =>
    name === MANIFEST_NAME ? readFileSync(join(folder, "manifest.json"), "utf8") : null,
  getBytes: async (name: string) => readBytes(`part-${name.split("/").at(-1)}`),
  getTexts: async () => new Map(),
  put: rejectWrite,
  delete: rejectWrite,
};
/** The memory without garbage. V8 frees large buffers some time after their collection. */
const resident = async () => {
  for (let times = 0; times < 3; times++) {
    globalThis.gc?.();
    await pause(SWEEP_MS);
  }
  return usageOf(process.pid).bytes;
};

const before = await resident();
const cache = new EdgeCache(store, 60);
await loadSnapshot(cache);
const snapshot = (await resident()) - before;
resetPeak(process.pid);
// The body may be refused.
await matchBytes(new Uint8Array(readBytes("body")), cache).catch(() => {});
const request = peakOf(process.pid) - before;
const call: MemoryCall = { snapshot, request };
console.log(JSON.stringify(call));
