import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { getPlatformProxy } from "wrangler";
import { chunks } from "../../chunks.ts";
import { HELD } from "../../resource-pool/resource-key.ts";
import type { Pool } from "./pool.ts";

/** The part of a KV namespace that is used. */
interface Namespace {
  get(keys: string[]): Promise<Map<string, string | null>>;
  get(key: string, type: "arrayBuffer"): Promise<ArrayBuffer | null>;
  put(key: string, value: string | Uint8Array, options?: { expirationTtl?: number }): Promise<void>;
  delete(key: string): Promise<void>;
  list(options: { prefix: string; cursor?: string }): Promise<{
    keys: { name: string }[];
    list_complete: boolean;
    cursor?: string;
  }>;
}

const KEYS_PER_READ = 100;
const WRITES_AT_A_TIME = 25;

/** `wrangler dev` on the same files makes writes fail while it writes itself. */
const ATTEMPTS = 8;
const FIRST_PAUSE_MS = 25;

interface LocalPoolOptions {
  configPath: string;
  environment: string | undefined;
  /** Once aborted, a failed write is not tried again: Ctrl-C reaches the local KV's process too. */
  signal: AbortSignal;
}

/** The KV that `wrangler dev` serves from `.wrangler/state` beside wrangler.toml, whether it runs or not. */
export async function openLocalPool({ configPath, environment, signal }: LocalPoolOptions): Promise<Pool> {
  const foreignListeners = process.listeners("SIGINT");
  const proxy = await getPlatformProxy<{ RESOURCE_CACHE?: Namespace; KEY_PREFIX?: unknown }>({
    configPath,
    ...(environment === undefined ? {} : { environment }),
    persist: { path: join(dirname(configPath), ".wrangler/state/v3") },
    remoteBindings: false,
  });
  // The proxy's own would end the process at once, in the middle of a batch.
  for (const listener of process.listeners("SIGINT")) {
    if (!foreignListeners.includes(listener)) process.off("SIGINT", listener);
  }
  const { RESOURCE_CACHE: cache, KEY_PREFIX: keyPrefix = "" } = proxy.env;
  if (!cache) throw new Error(`${configPath} has no KV namespace with the binding RESOURCE_CACHE`);

  async function retried<T>(operation: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await operation();
      } catch (error) {
        if (attempt === ATTEMPTS || signal.aborted) throw error;
        // Spread out, so that those that failed together don't fail together again.
        await sleep(FIRST_PAUSE_MS * 2 ** attempt * (0.5 + Math.random()));
      }
    }
  }

  async function eachRetried<T>(items: readonly T[], operation: (item: T) => Promise<void>): Promise<void> {
    for (const some of chunks(items, WRITES_AT_A_TIME)) {
      await Promise.all(some.map((item) => retried(() => operation(item))));
    }
  }

  return {
    keyPrefix: String(keyPrefix),
    keysPerBatch: KEYS_PER_READ,
    async held(keys) {
      const held = new Set<string>();
      for (const some of chunks(keys, KEYS_PER_READ)) {
        for (const [key, value] of await retried(() => cache.get(some))) if (value === HELD) held.add(key);
      }
      return held;
    },
    async *list(prefix) {
      let cursor: string | undefined;
      do {
        const page = await retried(() => cache.list(cursor === undefined ? { prefix } : { prefix, cursor }));
        yield page.keys.map(({ name }) => name);
        cursor = page.list_complete ? undefined : page.cursor;
      } while (cursor !== undefined);
    },
    get: (key) => retried(() => cache.get(key, "arrayBuffer")),
    put: (entries) =>
      eachRetried(entries, ({ key, value, expirationTtl }) =>
        cache.put(key, value, expirationTtl === undefined ? {} : { expirationTtl }),
      ),
    delete: (keys) => eachRetried(keys, (key) => cache.delete(key)),
    close: () => proxy.dispose(),
  };
}
