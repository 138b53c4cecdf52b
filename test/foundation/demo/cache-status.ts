import type { CacheStatus } from "../../../src/operator-api/responses.ts";

/** The catalog rewrites its manifest every hour, and soon after a start if the stored one is older. */
const MANIFEST_MAX_AGE_MS = 2 * 3600 * 1000;

/** Whether the cache has a current manifest; without one, whether it has a snapshot. An empty catalog publishes nothing. */
export function isPublished({
  entries,
  published,
  snapshot,
}: Pick<CacheStatus, "entries" | "published" | "snapshot">): boolean {
  const writtenAt = Date.parse(published?.at ?? snapshot?.built_at ?? "");
  return entries === 0 || Date.now() - writtenAt < MANIFEST_MAX_AGE_MS;
}
