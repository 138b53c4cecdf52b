/** The exports for JavaScript. `layout.ts` has the layout of the memory. */
export { fold, hash } from "./hash";
export {
  BODY,
  CHUNK_BYTES,
  COUNTS,
  ENTRIES,
  EXCLUDED,
  KEYS,
  MARKS,
  ROWS_MAX,
  SPANS,
  TEXT_MAX_BYTES,
} from "./layout";
export { write, writeNames } from "./response";
export { scan } from "./scan";
export { index, mark } from "./set";
export { sumSizes } from "./sizes";
