import { TEXT_MAX_BYTES } from "../bytes/workspace.ts";
import type { Resource } from "./request.ts";

/** Bytes that a character has as JSON, at most: an escape. */
export const CHARACTER_MAX_BYTES = 6;
const QUOTES = 2;

/** Whether a resource has a path or a mode of more bytes, as JSON.stringify writes them, than any that matches. */
export function isTooLong({ path, mode }: Pick<Resource, "path" | "mode">): boolean {
  return [path, mode].some((text) => {
    if (typeof text !== "string") return false;
    if (CHARACTER_MAX_BYTES * text.length + QUOTES <= TEXT_MAX_BYTES) return false;
    // A character has a byte at least, which bounds what is written to be counted.
    if (text.length + QUOTES > TEXT_MAX_BYTES) return true;
    return new TextEncoder().encode(JSON.stringify(text)).length > TEXT_MAX_BYTES;
  });
}
