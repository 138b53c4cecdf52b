import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";

export type KeyValueStore = ReturnType<typeof keyValueStore>;

/**
 * The store of the cache: Workers KV. Names do not have the foundation's KEY_PREFIX: only this module adds it. A value that does
 * not exist is null. `cacheTtl` is the time in seconds that KV may serve a value from its cache, misses too.
 */
export function keyValueStore(namespace: KVNamespace, keyPrefix: string) {
  return {
    getText: (name: string, cacheTtl: number) => namespace.get(keyPrefix + name, { type: "text", cacheTtl }),
    getBytes: (name: string, cacheTtl: number) =>
      namespace.get(keyPrefix + name, { type: "arrayBuffer", cacheTtl }),
    /** @param names at most 100 */
    async getTexts(names: readonly string[], cacheTtl: number) {
      const prefixed = names.map((name) => keyPrefix + name);
      const values = await namespace.get(prefixed, { type: "text", cacheTtl });
      return new Map(names.map((name) => [name, values.get(keyPrefix + name) ?? null]));
    },
    put: (name: string, value: string | Uint8Array) =>
      withTimeout(writeMs(value), namespace.put(keyPrefix + name, value)),
    delete: (name: string) => withTimeout(TIMEOUT_MS.kvWrite, namespace.delete(keyPrefix + name)),
  };
}

/** A slower write times out: 1 MB/s. */
const BYTES_PER_MS = 1_000;

function writeMs(value: string | Uint8Array): number {
  return TIMEOUT_MS.kvWrite + Math.round(value.length / BYTES_PER_MS);
}
