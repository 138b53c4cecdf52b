import type { SnapshotStore } from "./store.ts";

/** Workers KV, by a binding. */
export function kvStore(cache: KVNamespace): SnapshotStore {
  return {
    get: (name) => cache.get(name, "arrayBuffer"),
    put: (name, value) => cache.put(name, value),
    async delete(names) {
      for (const name of names) await cache.delete(name);
    },
    async list(prefix, cursor) {
      const page = await cache.list({ prefix, cursor: cursor ?? null });
      return {
        names: page.keys.map(({ name }) => name),
        cursor: page.list_complete ? undefined : page.cursor,
      };
    },
  };
}
