/**
 * The layout of the working memory. No table is read beyond what the same call, or JavaScript right before it, has written.
 *
 * A body is processed in chunks: the fewer pages of memory are touched, the sooner a cold isolate responds.
 */

/** Rows of each table. A chunk has fewer resources, because a resource has at least 84 bytes. */
export const ROWS_MAX: i32 = 1024;
/** Bytes of a body that are processed at a time. JavaScript uses a larger chunk for a resource that is longer. */
export const CHUNK_BYTES: i32 = 65536;

/**
 * The longest path or mode that may match, in bytes of JSON with its quotes. A name in the zip archive that cf CLI uploads has
 * 65,535 bytes at most: as JSON a quarter of this limit, unless it is full of escapes.
 */
export const TEXT_MAX_BYTES: i32 = 262144;

/** The results of a scan, 4 bytes each: resources, candidates, excluded SHA-1s, and 1 if the request ends. */
export const COUNTS: usize = 4096;
/** The fixed texts of a response. */
export const FIXED_TEXTS: usize = 4352;

/** A key row: 20 bytes of SHA-1, 4 of permissions, 8 of size as a double. */
export const KEY_BYTES: usize = 32;
export const KEY_PERMISSIONS: usize = 20;
export const KEY_SIZE: usize = 24;
export const KEYS: usize = 8192;

/** A span row: offsets in the body, 4 bytes each. They are 0 for an absent path or mode. Strings include their quotes. */
export const SPAN_BYTES: usize = 32;
export const SPAN_SHA1: usize = 0;
export const SPAN_SIZE: usize = 4;
export const SPAN_SIZE_END: usize = 8;
export const SPAN_PATH: usize = 12;
export const SPAN_PATH_END: usize = 16;
export const SPAN_MODE: usize = 20;
export const SPAN_MODE_END: usize = 24;
export const SPAN_HAS_ESCAPES: usize = 28;
export const SPANS: usize = KEYS + KEY_BYTES * <usize>ROWS_MAX;

/** The SHA-1s of resources whose mode lacks bits. */
export const SHA1_BYTES: usize = 20;
export const EXCLUDED: usize = SPANS + SPAN_BYTES * <usize>ROWS_MAX;

/** Entry hashes or contents, 8 bytes each; marks, 1 byte each; estimated positions in a set, 4 bytes each. */
export const ENTRIES: usize = EXCLUDED + SHA1_BYTES * <usize>ROWS_MAX;
export const MARKS: usize = ENTRIES + 8 * <usize>ROWS_MAX;
export const ESTIMATES: usize = MARKS + <usize>ROWS_MAX;

/** A chunk of the body, followed by a chunk of the response; or a chunk of a set. */
export const BODY: usize = ESTIMATES + 4 * <usize>ROWS_MAX;
/** Reads and writes go up to this many bytes beyond an end. */
export const PADDING_BYTES: usize = 64;
