import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { countOf } from "./marks.ts";
import { AT, KEY_BYTES, PIECE_BYTES, SHA1_BYTES, SLACK, workspace } from "./workspace.ts";

/** Rows of places in the body. */
const PLACE_BYTES = 32;
const SHA1 = 0;
const SIZE = 4;
const SIZE_END = 8;
const PATH = 12;
const PATH_END = 16;
const MODE = 20;
const MODE_END = 24;

/** With room for the longest path and the longest mode. */
const LONG_PIECE_BYTES = 16 * PIECE_BYTES;
/** The least that a resource has, with its comma. */
const RESOURCE_MIN_BYTES = 84;
/** Rows whose resources are written at a time: they rarely have more bytes than a piece. */
const ROWS_WRITTEN = 256;
const BEFORE_RESOURCES = new TextEncoder().encode('{"resources":[');
const BEHIND_RESOURCES = new TextEncoder().encode("]}");

/** What a scan has found; all of it is a copy. */
export interface Scanned {
  /** How many resources there are. */
  count: number;
  /** Of each candidate a row of keys, and one of places. */
  keys: Uint8Array<ArrayBuffer>;
  places: Uint8Array<ArrayBuffer>;
  /** 20 bytes of each SHA-1 of which a mode lacks bits. */
  lacking: Uint8Array<ArrayBuffer>;
}

/** Which resources are candidates, and which modes lack bits. */
export interface ScanRules {
  minimumSize: number;
  maximumSize: number;
  minimumFileMode: number | undefined;
}

/** Reads a request from its bytes; undefined for all that is not of the usual form, which may be right or wrong. */
export function scan(
  body: Uint8Array,
  { minimumSize, maximumSize, minimumFileMode = 0 }: ScanRules,
): Scanned | undefined {
  const most = Math.min(RESOURCES_PER_REQUEST_MAX, Math.ceil(body.length / RESOURCE_MIN_BYTES));
  const keys = new Uint8Array(KEY_BYTES * most);
  const places = new Uint8Array(PLACE_BYTES * most);
  let lacking = new Uint8Array();
  let [count, candidates, offset, pieceBytes, isEnd] = [0, 0, 0, PIECE_BYTES, false];
  while (!isEnd) {
    const piece = body.subarray(offset, offset + pieceBytes);
    const { module, memory } = workspace(piece.length);
    memory.set(piece, AT.BODY);
    const room = RESOURCES_PER_REQUEST_MAX - count;
    const read = module.scan(piece.length, offset, room, minimumSize, maximumSize, minimumFileMode);
    if (read < 0) return undefined;
    if (read === 0) {
      // A resource may have more bytes than that, but for blanks no more than a megabyte.
      if (offset + piece.length === body.length || pieceBytes === LONG_PIECE_BYTES) return undefined;
      pieceBytes = LONG_PIECE_BYTES;
      continue;
    }
    const [resources = 0, found = 0, lack = 0, ended] = new Uint32Array(memory.buffer, AT.COUNTS, 4);
    keys.set(memory.subarray(AT.KEYS, AT.KEYS + KEY_BYTES * found), KEY_BYTES * candidates);
    places.set(memory.subarray(AT.PLACES, AT.PLACES + PLACE_BYTES * found), PLACE_BYTES * candidates);
    if (lack > 0) lacking = joined(lacking, memory.subarray(AT.LACKING, AT.LACKING + SHA1_BYTES * lack));
    count += resources;
    candidates += found;
    offset += read;
    pieceBytes = PIECE_BYTES;
    isEnd = ended === 1;
    if (isEnd !== (offset === body.length)) return undefined;
  }
  return {
    count,
    keys: keys.subarray(0, KEY_BYTES * candidates),
    places: places.subarray(0, PLACE_BYTES * candidates),
    lacking,
  };
}

/**
 * The answer that names the marked candidates, in their order.
 *
 * @param body in which the places are
 * @param marks of each candidate, 0 or another number
 */
export function write(body: Uint8Array, places: Uint8Array, marks: Uint8Array): Uint8Array<ArrayBuffer> {
  // An answer is no longer than its request.
  const answer = new Uint8Array(body.length);
  const rows = new DataView(places.buffer, places.byteOffset, places.length);
  // Each resource is written with a comma before it; the first one's gives way to the bracket.
  let length = BEFORE_RESOURCES.length - 1;
  let count = 0;
  for (let from = 0; from < marks.length; from += count) {
    count = Math.min(ROWS_WRITTEN, marks.length - from);
    const start = startOf(rows, from);
    while (count > 1 && endOf(rows, from + count - 1) - start > PIECE_BYTES) count >>= 1;
    const some = marks.subarray(from, from + count);
    if (countOf(some, 0) === count) continue;
    const piece = body.subarray(start, endOf(rows, from + count - 1));
    const target = AT.BODY + piece.length + SLACK;
    const { module, memory } = workspace(2 * (piece.length + SLACK));
    memory.set(piece, AT.BODY);
    memory.set(places.subarray(PLACE_BYTES * from, PLACE_BYTES * (from + count)), AT.PLACES);
    memory.set(some, AT.MARKS);
    const written = module.write(count, start, target);
    answer.set(memory.subarray(target, target + written), length);
    length += written;
  }
  answer.set(BEFORE_RESOURCES);
  length = Math.max(length, BEFORE_RESOURCES.length);
  answer.set(BEHIND_RESOURCES, length);
  return answer.subarray(0, length + BEHIND_RESOURCES.length);
}

/** Where a text is in the body, its quotes included. */
interface Place {
  start: number;
  end: number;
}

/** Where in the body the path of a candidate is; undefined if it has none. */
export function pathPlace(places: Uint8Array, index: number): Place | undefined {
  return placeOf(places, index, PATH, PATH_END);
}

/** Where in the body the mode of a candidate is; undefined if it has none. */
export function modePlace(places: Uint8Array, index: number): Place | undefined {
  return placeOf(places, index, MODE, MODE_END);
}

function placeOf(places: Uint8Array, index: number, from: number, to: number): Place | undefined {
  const rows = new DataView(places.buffer, places.byteOffset, places.length);
  const start = rows.getUint32(PLACE_BYTES * index + from, true);
  return start === 0 ? undefined : { start, end: rows.getUint32(PLACE_BYTES * index + to, true) };
}

/** Where what is written of a candidate begins in the body. */
function startOf(rows: DataView, index: number): number {
  const at = (place: number) => rows.getUint32(PLACE_BYTES * index + place, true);
  // What is absent stands at 0.
  return Math.min(at(SHA1), at(SIZE), at(PATH) || at(SHA1), at(MODE) || at(SHA1));
}

/** Where it ends. */
function endOf(rows: DataView, index: number): number {
  const at = (place: number) => rows.getUint32(PLACE_BYTES * index + place, true);
  return Math.max(
    at(SHA1) + 2 * SHA1_BYTES,
    at(SIZE_END),
    at(PATH) && at(PATH_END),
    at(MODE) && at(MODE_END),
  );
}

/** Two rows of bytes as one. */
export function joined(some: Uint8Array, others: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(some.length + others.length);
  all.set(some);
  all.set(others, some.length);
  return all;
}
