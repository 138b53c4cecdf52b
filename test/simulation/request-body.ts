import type { Resource } from "./platform/code-under-test.ts";

/** The most that cf CLI asks for in one request: by so many the Worker knows that others follow. */
export const RESOURCES_PER_REQUEST = 5_000;

const encoder = new TextEncoder();
const fillerPath = (index: number) => `small/${index}`;

/** Too small to match: they make a request one of 5,000, and cost next to nothing. */
const FILLERS = Array.from({ length: RESOURCES_PER_REQUEST }, (_, index) =>
  JSON.stringify({
    checksum: { value: index.toString(16).padStart(40, "f") },
    size_in_bytes: 1,
    path: fillerPath(index),
  }),
);
const FILLER_BYTES = encoder.encode(FILLERS.join(","));
/** Where each of them ends in `FILLER_BYTES`. */
const FILLER_ENDS: number[] = [];
for (const { length } of FILLERS) FILLER_ENDS.push((FILLER_ENDS.at(-1) ?? -1) + 1 + length);

/** What cf asks for in one request: the files that may match, and fillers. */
export class RequestBody {
  readonly resources: readonly Resource[];
  /** Of all resources. */
  readonly count: number;

  /** @param count of resources in all, if small files fill the request up */
  constructor(resources: readonly Resource[], count = resources.length) {
    this.resources = resources;
    this.count = count;
  }

  /** As JSON, which whoever reads it may use up. */
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
