import type { Resource } from "./platform/code-under-test.ts";

/** The most that cf CLI sends in one request. A request of this size may be followed by others of the same app. */
export const RESOURCES_PER_REQUEST = 5_000;

const encoder = new TextEncoder();
const fillerPath = (index: number) => `small/${index}`;

/** Resources that are too small to match. They fill a request up to 5,000. */
const FILLERS = Array.from({ length: RESOURCES_PER_REQUEST }, (_, index) =>
  JSON.stringify({
    checksum: { value: index.toString(16).padStart(40, "f") },
    size_in_bytes: 1,
    path: fillerPath(index),
  }),
);
const FILLER_BYTES = encoder.encode(FILLERS.join(","));
/** The end of each filler in `FILLER_BYTES`. */
const FILLER_ENDS: number[] = [];
for (const { length } of FILLERS) FILLER_ENDS.push((FILLER_ENDS.at(-1) ?? -1) + 1 + length);

/** The body of one request: the files of the app, followed by fillers. */
export class RequestBody {
  readonly resources: readonly Resource[];
  /** Of all resources, with the fillers. */
  readonly count: number;

  /** @param count of all resources, with the fillers */
  constructor(resources: readonly Resource[], count = resources.length) {
    this.resources = resources;
    this.count = count;
  }

  /** As JSON, in a new array at each call: the reader may overwrite it. */
  bytes(): Uint8Array {
    const fillers = this.count - this.resources.length;
    const real = this.resources.map((resource) => JSON.stringify(resource)).join(",");
    const start = encoder.encode(`{"resources":[${real}${real !== "" && fillers > 0 ? "," : ""}`);
    const filler = FILLER_BYTES.subarray(0, FILLER_ENDS[fillers - 1] ?? 0);
    const end = encoder.encode("]}");
    const bytes = new Uint8Array(start.length + filler.length + end.length);
    bytes.set(start);
    bytes.set(filler, start.length);
    bytes.set(end, start.length + filler.length);
    return bytes;
  }
}
