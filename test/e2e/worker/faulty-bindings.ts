import type { Fault } from "../fault.ts";

type CurrentFault = () => Fault | undefined;

/** Keys of resources that have been read of KV, and operations that have met a fault. */
export const counts = { keysRead: 0, injectedFaults: 0 };

/** Names that have been written, or may have been: nobody but this isolate writes. */
const written = new Set<string>();

/** A local KV looks for each name of thousands by itself, even if it never was there. */
async function readMany(
  cache: KVNamespace,
  names: string[],
  options: unknown,
): Promise<Map<string, unknown>> {
  const known = names.filter((name) => written.has(name));
  const found =
    known.length > 0 ? await cache.get(known, options as KVNamespaceGetOptions<"text">) : new Map();
  return new Map(names.map((name) => [name, found.get(name) ?? null]));
}

/**
 * The real namespace, with the fault of the moment, and a count of the keys that are read in bulk.
 *
 * @param current asked at each operation
 */
export function faultyCache(cache: KVNamespace, current: CurrentFault): KVNamespace {
  let operations = 0;
  return new Proxy(cache, {
    get(target, operation: "get" | "put" | "delete") {
      const method = target[operation] as unknown as (...args: unknown[]) => Promise<unknown>;
      if (typeof method !== "function") return method;
      return (...args: [string | string[], ...unknown[]]) => {
        const [names] = args;
        if (Array.isArray(names)) counts.keysRead += names.length;
        else if (operation === "put") written.add(names);
        const operate = () =>
          Array.isArray(names) ? readMany(target, names, args[1]) : method.apply(target, args);
        const fault = current();
        if (!fault?.operations.includes(operation) || !isNamed(names, fault.names)) return operate();
        if (operations++ % (fault.every ?? 1) !== 0) return operate();
        counts.injectedFaults += 1;
        return suffer(fault, operate, args);
      };
    },
  });
}

/** The real Durable Objects, as long as the fault of the moment lets them `operate`. */
export function faultyObjects<T extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<T>,
  operation: "observe" | "remember",
  current: CurrentFault,
): Pick<typeof namespace, "getByName"> {
  return {
    getByName(name) {
      if (current()?.operations.includes(operation)) {
        counts.injectedFaults += 1;
        throw new Error("the Durable Object is overloaded");
      }
      return namespace.getByName(name);
    },
  };
}

function isNamed(names: string | string[], beginnings: readonly string[] | undefined): boolean {
  if (beginnings === undefined) return true;
  if (Array.isArray(names)) return beginnings.includes("");
  return beginnings.some((beginning) => beginning !== "" && names.startsWith(beginning));
}

async function suffer(
  fault: Fault,
  operate: () => Promise<unknown>,
  [names, options]: unknown[],
): Promise<unknown> {
  switch (fault.kind) {
    case "fail":
      throw new Error("KV failed: 503 Service Unavailable");
    case "hang":
      return new Promise(() => {});
    case "slow":
      await scheduler.wait(fault.ms ?? 0);
      return operate();
    case "rubbish": {
      if (Array.isArray(names)) return new Map(names.map((name) => [name, "rubbish"]));
      const isText = (options as { type: string }).type === "text";
      return isText ? "rubbish" : new TextEncoder().encode("rubbish".repeat(20)).buffer;
    }
  }
}
