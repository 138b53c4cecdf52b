import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

const SRC = join(PROJECT_ROOT, "src");

/** Loads time-guarantees.ts with one replacement. */
async function loadWith(from: string, to: string): Promise<unknown> {
  const source = await readFile(join(SRC, "time/time-guarantees.ts"), "utf8");
  expect(source.split(from)).toHaveLength(2);
  const stdin = { contents: source.replace(from, to), loader: "ts", resolveDir: join(SRC, "time") } as const;
  const { outputFiles } = await build({ stdin, bundle: true, format: "esm", write: false });
  return import(
    `data:text/javascript;base64,${Buffer.from(outputFiles[0]?.contents ?? []).toString("base64")}`
  );
}

it("accepts the durations of the source", async () => {
  const unchanged = "MANIFEST_MAX_AGE_MS = MINUTE_MS";
  expect(await loadWith(unchanged, unchanged)).toMatchObject({ MANIFEST_MAX_AGE_MS: 60_000 });
});

it.each([
  [
    "MANIFEST_MAX_AGE_MS = MINUTE_MS",
    "MANIFEST_MAX_AGE_MS = 2 * MINUTE_MS",
    "matched for at most three minutes",
  ],
  ["MANIFEST_PACE_MS = 10 *", "MANIFEST_PACE_MS = 60 *", "matched for at most three minutes"],
  ["MANIFEST_START_MAX_AGE_MS = 45 *", "MANIFEST_START_MAX_AGE_MS = 55 *", "counts at its end"],
  ["MANIFEST_RENEWAL_AGE_MS = 30 *", "MANIFEST_RENEWAL_AGE_MS = 40 *", "renewed twice"],
  ["MANIFEST_TRUSTED_MS = DAY_MS", "MANIFEST_TRUSTED_MS = 2 * HOUR_MS", "rewritten many times"],
  ["SUPERSEDED_KEPT_MS = HOUR_MS", "SUPERSEDED_KEPT_MS = MINUTE_MS", "superseded object outlives"],
  ["KEY_DELETED_AFTER_MS = 20 *", "KEY_DELETED_AFTER_MS = 10 *", "after its last write has landed"],
  ["TOMBSTONE_KEPT_MS = DAY_MS + HOUR_MS", "TOMBSTONE_KEPT_MS = DAY_MS", "outlives every cached key"],
  ["REMOVAL_KEPT_MS = 2 * DAY_MS", "REMOVAL_KEPT_MS = DAY_MS", "longer than an observation is accepted"],
  ["MATCH_FINAL_MS = STALE_MATCH_MAX_MS", "MATCH_FINAL_MS = MINUTE_MS", "visible everywhere"],
  ["SESSION_PAUSE_MS = 3 *", "SESSION_PAUSE_MS = 2 *", "between two requests of an app"],
  ["SESSION_PAUSE_MS = 3 *", "SESSION_PAUSE_MS = 6 *", "sooner than a young one"],
  ["afterResponse: 18_000", "afterResponse: 20_000", "while waitUntil keeps the invocation running"],
  ["RETRY_MS = 10 *", "RETRY_MS = 9 *", "for as long as any session lasts"],
])("refuses to start the Worker if %s becomes %s", async (from, to, relation) => {
  await expect(loadWith(from, to)).rejects.toThrow(relation);
});
