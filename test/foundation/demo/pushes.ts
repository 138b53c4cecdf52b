import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { textTable } from "../../support/table.ts";
import { gatherDirectory } from "../cf-push/app-directory.ts";
import { CfConnection } from "../cf-push/cf-connection.ts";
import { encodeResource } from "../cf-push/cf-resource.ts";
import { type Push, type PushTarget, push } from "../cf-push/push-client.ts";
import { generateBytes } from "./contents.ts";
import type { MatchedLog, TierMatches } from "./matched-log.ts";

/** An isolate reads at most a minute late what the catalog has published, and that at most every ten seconds. */
const LEARNED_MAX_MS = 90_000;
const POLL_MS = 1_000;

/** One push, and which tier has answered for how many of its files. */
export type DemoPush = Pick<Push, "requested" | "matched" | "uploadedFiles"> & TierMatches;

/**
 * Pushes a copy of `directory`, with one file that no pool has, three times as it is: for the platform to learn it,
 * for the cache to learn it from the platform, and for the cache to answer.
 *
 * @param tell gets a line of what goes on
 */
export async function pushDemoApp(
  directory: string,
  target: PushTarget,
  log: MatchedLog,
  tell: (line: string) => void,
): Promise<DemoPush[]> {
  const app = await mkdtemp(join(tmpdir(), "demo-"));
  try {
    await cp(directory, app, { recursive: true });
    await writeFile(join(app, "new.bin"), generateBytes(`pushed at ${new Date().toISOString()}`));
    tell("Pushing an app, twice …");
    const first = await pushOnce(app, target, log);
    const second = await pushOnce(app, target, log);
    tell("Waiting until the cache has learned what it lacked, for up to a minute …");
    await untilLearned(app, target, log);
    tell("Pushing the app once more …");
    return [first, second, await pushOnce(app, target, log)];
  } finally {
    await rm(app, { recursive: true });
  }
}

/** What `demoPushes` has brought, as a table. */
export function formatPushes(pushes: readonly DemoPush[]): string {
  const rows = pushes.map(({ requested, snapshot, keys, origin, uploadedFiles }, index) => [
    `push ${index + 1}`,
    ...[requested, snapshot + keys, origin, uploadedFiles],
  ]);
  return textTable(["", "asked", "held by cache", "by the Cloud Controller", "uploaded"], rows);
}

async function pushOnce(app: string, target: PushTarget, log: MatchedLog): Promise<DemoPush> {
  const { requested, matched, uploadedFiles, matchRequestIds } = await push(app, target);
  return { requested, matched, uploadedFiles, ...(await log.sumTiers(matchRequestIds)) };
}

/** What the Cloud Controller has matched is observed after the answer, published after that, and read again later. */
async function untilLearned(app: string, { url, token }: PushTarget, log: MatchedLog): Promise<void> {
  const connection = new CfConnection(url, token);
  const resources = (await gatherDirectory(app)).filter(({ size }) => size !== 0).map(encodeResource);
  const deadline = Date.now() + LEARNED_MAX_MS;
  while (Date.now() < deadline) {
    await connection.postJson("/v3/resource_matches", { resources });
    if ((await log.sumTiers(connection.requestIds.splice(0))).origin === 0) return;
    await pause(POLL_MS);
  }
}
