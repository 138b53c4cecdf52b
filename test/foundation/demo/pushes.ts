import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { textTable } from "../../support/table.ts";
import { gatherDirectory } from "../cf-push/app-directory.ts";
import { CfConnection } from "../cf-push/cf-connection.ts";
import { encodeResource } from "../cf-push/cf-resource.ts";
import { type Push, type PushTarget, push } from "../cf-push/push-client.ts";
import { generateBytes } from "./demo-files.ts";
import type { MatchedLog, TierMatches } from "./matched-log.ts";

/** The catalog publishes at most every 10 s, and an isolate reads what is published up to 75 s later. */
const CACHED_MAX_MS = 90_000;
const POLL_MS = 1_000;

/** One push, and how many of its files each tier matched. */
export type DemoPush = Pick<Push, "requested" | "matched" | "uploadedFiles"> & TierMatches;

/**
 * Pushes a copy of `directory` with one new file three times. The first push uploads the new file. The second gets it
 * matched by the Cloud Controller, which adds it to the cache. The third gets it matched by the cache.
 *
 * @param print receives a line of progress
 */
export async function pushDemoApp(
  directory: string,
  target: PushTarget,
  log: MatchedLog,
  print: (line: string) => void,
): Promise<DemoPush[]> {
  const app = await mkdtemp(join(tmpdir(), "demo-"));
  try {
    await cp(directory, app, { recursive: true });
    await writeFile(join(app, "new.bin"), generateBytes(`pushed at ${new Date().toISOString()}`));
    print("Pushing the demo app twice …");
    const first = await pushOnce(app, target, log);
    const second = await pushOnce(app, target, log);
    print("Waiting until the cache has the app's files, usually less than a minute …");
    await waitUntilCached(app, target, log);
    print("Pushing the demo app again …");
    return [first, second, await pushOnce(app, target, log)];
  } finally {
    await rm(app, { recursive: true });
  }
}

/** Formats the pushes as a table: how many files each place matched, and how many were uploaded. */
export function formatPushes(pushes: readonly DemoPush[]): string {
  const rows = pushes.map(({ requested, snapshot, keys, origin, uploadedFiles }, index) => [
    `push ${index + 1}`,
    requested,
    snapshot + keys,
    origin,
    uploadedFiles,
  ]);
  return textTable(["", "files", "cache", "Cloud Controller", "uploaded"], rows);
}

async function pushOnce(app: string, target: PushTarget, log: MatchedLog): Promise<DemoPush> {
  const { requested, matched, uploadedFiles, matchRequestIds } = await push(app, target);
  return { requested, matched, uploadedFiles, ...(await log.sumTiers(matchRequestIds)) };
}

/** Repeats the request of the app until the Cloud Controller matches nothing more of it. */
async function waitUntilCached(app: string, { url, token }: PushTarget, log: MatchedLog): Promise<void> {
  const connection = new CfConnection(url, token);
  const resources = (await gatherDirectory(app)).filter(({ size }) => size !== 0).map(encodeResource);
  const deadline = Date.now() + CACHED_MAX_MS;
  while (Date.now() < deadline) {
    await connection.postJson("/v3/resource_matches", { resources });
    if ((await log.sumTiers(connection.requestIds.splice(0))).origin === 0) return;
    await pause(POLL_MS);
  }
}
