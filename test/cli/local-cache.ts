import { join } from "node:path";
import { getPlatformProxy } from "wrangler";

interface Cache {
  list(options?: { cursor?: string }): Promise<{
    keys: { name: string; expiration?: number }[];
    list_complete: boolean;
    cursor?: string;
  }>;
  get(key: string): Promise<string | null>;
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

/** Every key with its value. */
export function localKeys(directory: string): Promise<Record<string, string | null>> {
  return withLocalCache(directory, async (cache) => {
    const { keys } = await cache.list();
    return Object.fromEntries(
      await Promise.all(keys.map(async ({ name }) => [name, await cache.get(name)] as const)),
    );
  });
}
