import type { CacheFault } from "../cache-fault.ts";

/**
 * The real namespace, with the fault of the moment.
 *
 * @param current asked at each operation
 */
export function faultyCache(cache: KVNamespace, current: () => CacheFault | undefined): KVNamespace {
  let operations = 0;
  return new Proxy(cache, {
    get(target, name: CacheFault["operations"][number]) {
      const method = target[name] as unknown as (...args: unknown[]) => Promise<unknown>;
      if (typeof method !== "function") return method;
      return (...args: unknown[]) => {
        const fault = current();
        const operate = () => method.apply(target, args);
        if (!fault?.operations.includes(name) || operations++ % (fault.every ?? 1) !== 0) return operate();
        return suffer(fault, operate, args[0]);
      };
    },
  });
}

async function suffer(fault: CacheFault, operate: () => Promise<unknown>, key: unknown): Promise<unknown> {
  switch (fault.kind) {
    case "fail":
      throw new Error("KV GET failed: 503 Service Unavailable");
    case "hang":
      return new Promise(() => {});
    case "slow":
      await scheduler.wait(fault.ms ?? 0);
      return operate();
    case "rubbish":
      return Array.isArray(key) ? new Map(key.map((name) => [name, "rubbish"])) : null;
  }
}
