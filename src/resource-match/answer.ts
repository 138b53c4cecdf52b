import type { Resource } from "./request.ts";

/**
 * The JSON text that tells the matched resources, in the Cloud Controller's order of members; null and absent are one.
 *
 * Put together by hand, which takes less time than copies and their JSON.stringify: a checksum that was matched is hex,
 * a mode is octal digits, and only a path can hold what must be escaped.
 */
export function answerText(resources: readonly Resource[]): string {
  let text = "";
  for (const { checksum, size_in_bytes, path, mode } of resources) {
    text += `${text === "" ? "" : ","}{"checksum":{"value":"${checksum.value}"},"size_in_bytes":${size_in_bytes}`;
    if (path !== undefined && path !== null) text += `,"path":${JSON.stringify(path)}`;
    text += mode === undefined || mode === null ? "}" : `,"mode":"${mode}"}`;
  }
  return `{"resources":[${text}]}`;
}
