import { join } from "node:path";
import { getPlatformProxy } from "wrangler";

interface Cache {
  list(options?: { cursor?: string }): Promise<{
    keys: { name: string; expiration?: number }[];
    list_complete: boolean;
    cursor?: string;
  }>;
  get(key: string): Promise<string | null>;
  get(keys: string[]): Promise<Map<string, string | null>>;
  put(key: string, value: string): Promise<void>;
}

/** Looks at a project's local cache with Cloudflare's own tools. */
export async function withLocalCache<T>(directory: string, use: (cache: Cache) => Promise<T>): Promise<T> {
  const proxy = await getPlatformProxy<{ RESOURCE_CACHE: Cache }>({
    configPath: join(directory, "wrangler.toml"),
    persist: { path: join(directory, ".wrangler/state/v3") },
    remoteBindings: false,
  });
  try {
    return await use(proxy.env.RESOURCE_CACHE);
  } finally {
    await proxy.dispose();
  }
}

const KEYS_PER_READ = 100;

/** Every key with its value, of at most 1,000. */
export function localKeys(directory: string): Promise<Record<string, string | null>> {
  return withLocalCache(directory, async (cache) => {
    const names = (await cache.list()).keys.map(({ name }) => name);
    const values: Record<string, string | null> = {};
    for (let start = 0; start < names.length; start += KEYS_PER_READ) {
      const some = await cache.get(names.slice(start, start + KEYS_PER_READ));
      for (const [name, value] of some) values[name] = value;
    }
    return values;
  });
}
