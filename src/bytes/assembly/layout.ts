/**
 * Where things lie in the memory in which requests are worked on. What JavaScript needs of it is exported. No table is
 * ever read beyond what the same call, or JavaScript right before it, has written.
 *
 * A request goes through it piece by piece: the less memory is touched, the sooner a cold isolate answers.
 */

/** Rows that are worked on at a time; a piece of a body has fewer resources, of at least 84 bytes. */
export const ROWS_MAX: i32 = 1024;
/** Bytes of a body that are worked on at a time, but for a resource that has more. */
export const PIECE_BYTES: i32 = 65536;

/**
 * Bytes of a path or a mode as JSON, its quotes included. A resource with a longer one never matches: a name in the zip
 * archive that cf CLI uploads has 65,535 bytes at most, as JSON a quarter of this unless it is full of escapes.
 */
export const TEXT_MAX_BYTES: i32 = 262144;

/** Results of a scan, 4 bytes each: resources, candidates, how many lack bits of the mode, and whether the request ends. */
export const COUNTS: usize = 4096;
/** The fixed texts of an answer. */
export const TEXTS: usize = 4352;

/** A row of keys: 20 bytes of SHA-1, 4 of permissions, 8 of size as a double. */
export const KEY_BYTES: usize = 32;
export const KEY_PERMISSIONS: usize = 20;
export const KEY_SIZE: usize = 24;
export const KEYS: usize = 8192;

/** A row of places, counted from where the body begins, 4 bytes each: 0 where path or mode are absent. Texts include quotes. */
export const PLACE_BYTES: usize = 32;
export const PLACE_SHA1: usize = 0;
export const PLACE_SIZE: usize = 4;
export const PLACE_SIZE_END: usize = 8;
export const PLACE_PATH: usize = 12;
export const PLACE_PATH_END: usize = 16;
export const PLACE_MODE: usize = 20;
export const PLACE_MODE_END: usize = 24;
export const PLACE_HAS_ESCAPES: usize = 28;
export const PLACES: usize = KEYS + KEY_BYTES * <usize>ROWS_MAX;

/** SHA-1s, of resources whose modes lack bits. */
export const SHA1_BYTES: usize = 20;
export const LACKING: usize = PLACES + PLACE_BYTES * <usize>ROWS_MAX;

/** Entry hashes or contents, 8 bytes each; marks, one byte each; guesses, 4 bytes each. */
export const ENTRIES: usize = LACKING + SHA1_BYTES * <usize>ROWS_MAX;
export const MARKS: usize = ENTRIES + 8 * <usize>ROWS_MAX;
export const GUESSES: usize = MARKS + <usize>ROWS_MAX;

/** A piece of the body, and behind it one of the answer; or a part of a set. */
export const BODY: usize = GUESSES + 4 * <usize>ROWS_MAX;
/** What is read or written beyond an end, at most. */
export const SLACK: usize = 64;
