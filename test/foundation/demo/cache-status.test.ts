import { expect, it } from "vitest";
import { isPublished } from "./cache-status.ts";

const at = (hoursAgo: number) => new Date(Date.now() - hoursAgo * 3_600_000).toISOString();
const manifest = (hoursAgo: number) => ({ at: at(hoursAgo), delta: { added: 4, removed: 0 } });
const snapshot = (hoursAgo: number) => ({ id: "1", entries: 4, parts: 1, built_at: at(hoursAgo) });

it.each([
  ["does not wait for an empty cache, which publishes nothing", 0, null, null, true],
  ["waits for the first publication of a cache with entries", 4, null, null, false],
  ["does not wait if the cache has published in this hour", 4, manifest(0.5), snapshot(9), true],
  ["waits if the published entries are of an earlier day", 4, manifest(24), snapshot(24), false],
  ["does not wait if a new snapshot has no manifest yet", 4, null, snapshot(0), true],
])("%s", (_, entries, published, snapshot, expected) => {
  expect(isPublished({ entries, published, snapshot })).toBe(expected);
});
