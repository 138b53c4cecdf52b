import type { Resource } from "./request.ts";

/** The JSON text that tells the matched resources. */
export function answerText(resources: readonly Resource[]): string {
  return JSON.stringify({ resources: resources.map(echo) });
}

/** What is told of a resource, in the Cloud Controller's order; null and absent are one. */
function echo({ checksum, size_in_bytes, path, mode }: Resource) {
  return {
    checksum: { value: checksum.value },
    size_in_bytes,
    path: path ?? undefined,
    mode: mode ?? undefined,
  };
}
