import { env } from "cloudflare:workers";

/**
 * The real local cache without the keys of resources, for where manifest, changes and snapshot say all: the local KV looks
 * for each of thousands of keys by itself.
 */
export const cacheWithoutKeys = new Proxy(env.RESOURCE_CACHE, {
  get(target, name) {
    const member = Reflect.get(target, name);
    if (name !== "get") return typeof member === "function" ? member.bind(target) : member;
    return async (names: string | string[], options: { type: "text" }) =>
      Array.isArray(names) ? new Map(names.map((each) => [each, null])) : target.get(names, options);
  },
});

interface Trouble {
  /** Decides for each read, by its number from 0, what happens to it. */
  read?: (index: number) => "fail" | "hang" | undefined;
}

/**
 * The real local cache, with its reads counted and, where wanted, spoiled.
 */
export function instrumentCache({ read }: Trouble = {}) {
  const reads: { keys: string[]; options: unknown }[] = [];
  let atOnce = 0;
  const observed = { reads, mostAtOnce: 0 };
  const cache = new Proxy(env.RESOURCE_CACHE, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (name !== "get") return typeof member === "function" ? member.bind(target) : member;
      return async (keys: string | string[], options: { type: "text" }) => {
        // A read of one key is not a tier's.
        if (typeof keys === "string") return target.get(keys, options);
        const trouble = read?.(reads.length);
        reads.push({ keys, options });
        atOnce += 1;
        observed.mostAtOnce = Math.max(observed.mostAtOnce, atOnce);
        if (trouble === "fail") throw new Error("KV GET failed: 503 Service Unavailable");
        if (trouble === "hang") return new Promise(() => {});
        return target.get(keys, options).finally(() => {
          atOnce -= 1;
        });
      };
    },
  });
  return Object.assign(observed, { cache });
}
