import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";

/** The store of the cache. Names do not have the foundation's KEY_PREFIX: only this module adds it. */
export interface KeyValueStore {
  /**
   * @param cacheTtl seconds that the store may serve the value from its cache, misses too
   * @returns null if the value does not exist
   */
  getText(name: string, cacheTtl: number): Promise<string | null>;
  getBytes(name: string, cacheTtl: number): Promise<ArrayBuffer | null>;
  /** @param names at most 100 */
  getTexts(names: readonly string[], cacheTtl: number): Promise<Map<string, string | null>>;
  put(name: string, value: string | Uint8Array): Promise<void>;
  delete(name: string): Promise<void>;
}

/** Workers KV. */
export function keyValueStore(namespace: KVNamespace, keyPrefix: string): KeyValueStore {
  return {
    getText: (name, cacheTtl) => namespace.get(keyPrefix + name, { type: "text", cacheTtl }),
    getBytes: (name, cacheTtl) => namespace.get(keyPrefix + name, { type: "arrayBuffer", cacheTtl }),
    async getTexts(names, cacheTtl) {
      const values = await namespace.get(
        names.map((name) => keyPrefix + name),
        { type: "text", cacheTtl },
      );
      return new Map(names.map((name) => [name, values.get(keyPrefix + name) ?? null]));
    },
    put: (name, value) => withTimeout(writeMs(value), namespace.put(keyPrefix + name, value)),
    delete: (name) => withTimeout(TIMEOUT_MS.kvWrite, namespace.delete(keyPrefix + name)),
  };
}

/** The slowest write that is waited for: 1 MB/s. */
const BYTES_PER_MS = 1_000;

function writeMs(value: string | Uint8Array): number {
  return TIMEOUT_MS.kvWrite + Math.round(value.length / BYTES_PER_MS);
}
