/**
 * The pool as Workers KV holds it, wherever that is. Every key is a full one, with the prefix.
 *
 * Everything throws once it is no use to try again.
 */
export interface Pool {
  readonly keyPrefix: string;
  /** As many keys as are worth one `put`; what has been put before an interruption stays. */
  readonly keysPerBatch: number;

  /** Which of `keys` are there with the value `1`. */
  held(keys: readonly string[]): Promise<Set<string>>;
  /** The names of all keys that start with `prefix`, in order, a page at a time. */
  list(prefix: string): AsyncIterable<string[]>;
  /** The bytes of a value; null where there is none. */
  get(key: string): Promise<ArrayBuffer | null>;
  put(entries: readonly PoolEntry[]): Promise<void>;
  delete(keys: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export interface PoolEntry {
  key: string;
  value: string | Uint8Array;
  /** Seconds; without it, the key stays. */
  expirationTtl?: number;
}
