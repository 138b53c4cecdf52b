import { env } from "cloudflare:workers";

/**
 * The local KV without resource keys, for tests in which the manifest names a snapshot: the local KV reads thousands of missing keys
 * one by one.
 */
export const cacheWithoutKeys = new Proxy(env.RESOURCE_CACHE, {
  get(target, name) {
    const member = Reflect.get(target, name);
    if (name !== "get") return typeof member === "function" ? member.bind(target) : member;
    return async (names: string | string[], options: { type: "text" }) =>
      Array.isArray(names) ? new Map(names.map((each) => [each, null])) : target.get(names, options);
  },
});

interface Faults {
  /** The fault of a bulk read, by its number from 0. */
  read?: (index: number) => "fail" | "hang" | undefined;
}

/** The local KV with its bulk reads recorded, and with faults. */
export function instrumentCache({ read }: Faults = {}) {
  const reads: { keys: string[]; options: unknown }[] = [];
  let concurrentReads = 0;
  const observed = { reads, mostAtOnce: 0 };
  const cache = new Proxy(env.RESOURCE_CACHE, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (name !== "get") return typeof member === "function" ? member.bind(target) : member;
      return async (keys: string | string[], options: { type: "text" }) => {
        // Resource keys are only read in bulk.
        if (typeof keys === "string") return target.get(keys, options);
        const fault = read?.(reads.length);
        reads.push({ keys, options });
        concurrentReads += 1;
        observed.mostAtOnce = Math.max(observed.mostAtOnce, concurrentReads);
        if (fault === "fail") throw new Error("KV GET failed: 503 Service Unavailable");
        if (fault === "hang") return new Promise(() => {});
        return target.get(keys, options).finally(() => {
          concurrentReads -= 1;
        });
      };
    },
  });
  return Object.assign(observed, { cache });
}
