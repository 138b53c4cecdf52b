/** What JavaScript calls; the memory's layout is in `layout.ts`. */
export { write, writeNames } from "./answer";
export { fold, hash } from "./hash";
export {
  BODY,
  COUNTS,
  ENTRIES,
  GUESSES,
  KEYS,
  LACKING,
  MARKS,
  PIECE_BYTES,
  PLACES,
  ROWS_MAX,
  TEXT_MAX_BYTES,
} from "./layout";
export { scan } from "./scan";
export { index, mark } from "./set";
export { sumSizes } from "./sizes";
