import type { Fault } from "../fault.ts";

type GetFault = () => Fault | undefined;

/** Resource keys that were read from KV, and operations that a fault was injected into. */
export const counts = { keysRead: 0, injectedFaults: 0 };

/** Names of values that may exist. Only this isolate writes. */
const writtenNames = new Set<string>();

/** Reads only names that were written: the local KV reads thousands of missing names one by one. */
async function readMany(
  cache: KVNamespace,
  names: string[],
  options: unknown,
): Promise<Map<string, unknown>> {
  const written = names.filter((name) => writtenNames.has(name));
  const values =
    written.length > 0 ? await cache.get(written, options as KVNamespaceGetOptions<"text">) : new Map();
  return new Map(names.map((name) => [name, values.get(name) ?? null]));
}

/** The namespace, with faults injected and bulk reads counted. @param getFault called for each operation */
export function faultyCache(cache: KVNamespace, getFault: GetFault): KVNamespace {
  let affectedOperations = 0;
  return new Proxy(cache, {
    get(target, operation: "get" | "put" | "delete") {
      const method = target[operation] as unknown as (...args: unknown[]) => Promise<unknown>;
      if (typeof method !== "function") return method;
      return (...args: [string | string[], ...unknown[]]) => {
        const [names] = args;
        if (Array.isArray(names)) counts.keysRead += names.length;
        else if (operation === "put") writtenNames.add(names);
        const operate = () =>
          Array.isArray(names) ? readMany(target, names, args[1]) : method.apply(target, args);
        const fault = getFault();
        if (!fault?.operations.includes(operation) || !hasPrefix(names, fault.prefixes)) return operate();
        if (affectedOperations++ % (fault.every ?? 1) !== 0) return operate();
        counts.injectedFaults += 1;
        return injectFault(fault, operate, args);
      };
    },
  });
}

/** The catalog's namespace. It throws while an injected fault includes `observe`. */
export function faultyCatalog<T extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<T>,
  getFault: GetFault,
): Pick<typeof namespace, "getByName"> {
  return {
    getByName(name) {
      if (getFault()?.operations.includes("observe")) {
        counts.injectedFaults += 1;
        throw new Error("the Durable Object is overloaded");
      }
      return namespace.getByName(name);
    },
  };
}

function hasPrefix(names: string | string[], prefixes: readonly string[] | undefined): boolean {
  if (prefixes === undefined) return true;
  if (Array.isArray(names)) return prefixes.includes("");
  return prefixes.some((prefix) => prefix !== "" && names.startsWith(prefix));
}

async function injectFault(
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
    case "garbage": {
      if (Array.isArray(names)) return new Map(names.map((name) => [name, "garbage"]));
      const isText = (options as { type: string }).type === "text";
      return isText ? "garbage" : new TextEncoder().encode("garbage".repeat(20)).buffer;
    }
  }
}
