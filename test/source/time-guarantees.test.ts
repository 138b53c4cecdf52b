import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

const SRC = join(PROJECT_ROOT, "src");

/** Loads the module of durations with one of them changed. */
async function load(from: string, to: string): Promise<unknown> {
  const source = await readFile(join(SRC, "time/time-guarantees.ts"), "utf8");
  expect(source.split(from)).toHaveLength(2);
  const stdin = { contents: source.replace(from, to), loader: "ts", resolveDir: join(SRC, "time") } as const;
  const { outputFiles } = await build({ stdin, bundle: true, format: "esm", write: false });
  return import(
    `data:text/javascript;base64,${Buffer.from(outputFiles[0]?.contents ?? []).toString("base64")}`
  );
}

it("starts the Worker with the durations as they are", async () => {
  const same = "MANIFEST_MAX_AGE_MS = MINUTE_MS";
  expect(await load(same, same)).toMatchObject({ MANIFEST_MAX_AGE_MS: 60_000 });
});

it.each([
  [
    "MANIFEST_MAX_AGE_MS = MINUTE_MS",
    "MANIFEST_MAX_AGE_MS = 2 * MINUTE_MS",
    "matched for at most three minutes",
  ],
  ["MANIFEST_PACE_MS = 10 *", "MANIFEST_PACE_MS = 60 *", "matched for at most three minutes"],
  ["MANIFEST_START_MAX_AGE_MS = 45 *", "MANIFEST_START_MAX_AGE_MS = 55 *", "ends while that counts"],
  ["MANIFEST_RENEWAL_AGE_MS = 30 *", "MANIFEST_RENEWAL_AGE_MS = 40 *", "renewed twice"],
  ["MANIFEST_TRUSTED_MS = DAY_MS", "MANIFEST_TRUSTED_MS = 2 * HOUR_MS", "written again many times"],
  ["SUPERSEDED_KEPT_MS = HOUR_MS", "SUPERSEDED_KEPT_MS = MINUTE_MS", "superseded value outlives"],
  ["KEY_DELETED_AFTER_MS = 20 *", "KEY_DELETED_AFTER_MS = 10 *", "after its last write has landed"],
  ["TOMBSTONE_KEPT_MS = DAY_MS + HOUR_MS", "TOMBSTONE_KEPT_MS = DAY_MS", "outlives every cached key"],
  [
    "REMOVAL_REMEMBERED_MS = 2 * DAY_MS",
    "REMOVAL_REMEMBERED_MS = DAY_MS",
    "longer than an observation is believed",
  ],
  ["MATCH_FINAL_MS = REMOVAL_KNOWN_MS", "MATCH_FINAL_MS = MINUTE_MS", "known everywhere"],
  ["WAIT_UNTIL_MAX_MS = 30 *", "WAIT_UNTIL_MAX_MS = 28 *", "while waitUntil keeps the invocation running"],
  ["SESSION_PAUSE_MS = 3 *", "SESSION_PAUSE_MS = 2 *", "between two requests of an app"],
])("does not start the Worker with %s changed to %s", async (from, to, promise) => {
  await expect(load(from, to)).rejects.toThrow(promise);
});
