import { setTimeout as pause } from "node:timers/promises";
import type { Configuration } from "../../../src/configuration.ts";
import { textTable } from "../../support/table.ts";
import { gatherDirectory } from "../cf-push/app-directory.ts";
import { CfConnection, MATCHES_PATH, PushFailed } from "../cf-push/cf-connection.ts";
import { encodeResource } from "../cf-push/cf-resource.ts";
import { type PushTarget, push } from "../cf-push/push-client.ts";
import type { MatchedLog } from "./matched-log.ts";

/** The catalog publishes at most every 10 s, and an isolate reads what is published up to 75 s later. */
export const CACHED_MAX_SECONDS = 90;
const POLL_MS = 2_000;
const RATE_LIMITED_POLL_MS = 10_000;
const RATE_LIMITED = 429;

export interface DemoOptions {
  /** The app to push. */
  directory: string;
  target: PushTarget;
  settings: Configuration;
  log: MatchedLog;
  /** Adds the files of the pool to the cache. Called before the last push if pushes add none. */
  syncCache(): Promise<void>;
  /** Until when the cache is suspended, in ISO 8601; null if it is not. */
  readSuspension(): Promise<string | null>;
  /** Receives a line of progress. */
  print(line: string): void;
}

/** One push, and where its files were found. */
export interface DemoPush {
  files: number;
  /** Matched by the cache. In shadow mode: files that it would have matched; undefined if it was not compared. */
  cache: number | undefined;
  cloudController: number;
  uploaded: number;
  /** Message of the push before this one, which failed and was repeated. */
  failure?: string;
}

type ExcludingSetting = "MINIMUM_SIZE" | "MAXIMUM_SIZE" | "MINIMUM_FILE_MODE";

export interface DemoResult {
  pushes: DemoPush[];
  /** Files that can't match, and the settings that are the reason. */
  excluded: number;
  excludedBy: ReadonlySet<ExcludingSetting>;
  /** Until when the cache is suspended, in ISO 8601; null if it is not. */
  suspendedUntil: string | null;
  /** The cache did not have the files of the app in time. */
  isLate: boolean;
}

/**
 * Pushes an app with one new file three times. The first push uploads the new file. After the second, the cache gets it, from the
 * Cloud Controller's matches or from the pool, if the settings let it. The third push shows that.
 */
export async function pushDemoApp(options: DemoOptions): Promise<DemoResult> {
  const { settings, print, readSuspension } = options;
  const resources = (await gatherDirectory(options.directory)).filter(({ size }) => size !== 0);
  const excluding = resources.flatMap((resource) => excludingSetting(resource, settings) ?? []);
  const excluded = excluding.length;
  const eligible = resources.length - excluded;
  print("Pushing the demo app twice …");
  const pushes = [await pushWithRetry(options), await pushOnce(options)];
  let isLate = false;
  if (settings.features.resourceMatching && eligible > 0 && !(await readSuspension())) {
    if (!settings.cloudControllerUrl) {
      print("Adding the files of the resource pool to the cache …");
      await options.syncCache();
    }
    print(`Waiting until the cache has these files, up to ${CACHED_MAX_SECONDS} seconds …`);
    isLate = !(await waitUntilCached(resources.map(encodeResource), eligible, options));
  }
  const suspendedUntil = await readSuspension();
  print("Pushing the demo app again …");
  pushes.push(await pushOnce(options));
  return { pushes, excluded, excludedBy: new Set(excluding), suspendedUntil, isLate };
}

/** Formats the pushes as a table: how many files each place matched, and how many were uploaded. */
export function formatPushes(pushes: readonly DemoPush[], { mode }: Configuration): string {
  const isShadow = mode === "shadow";
  const columns = isShadow
    ? ["", "files", "Cloud Controller", "uploaded", "cache would match"]
    : ["", "files", "cache", "Cloud Controller", "uploaded"];
  const rows = pushes.map(({ files, cache = "-", cloudController, uploaded }, index) => [
    `push ${index + 1}`,
    files,
    ...(isShadow ? [cloudController, uploaded, cache] : [cache, cloudController, uploaded]),
  ]);
  return textTable(columns, rows);
}

/** The setting that keeps a file from matching, in the Worker and in a Cloud Controller with the same limits; or undefined. */
function excludingSetting(
  { size, mode }: { size: number; mode: number },
  { eligibility, cloudControllerUrl }: Configuration,
): ExcludingSetting | undefined {
  const { minimumSize, maximumSize, minimumFileMode = 0 } = eligibility;
  // A Cloud Controller matches no file of exactly the minimum or the maximum size.
  const margin = cloudControllerUrl ? 1 : 0;
  if (size < minimumSize + margin) return "MINIMUM_SIZE";
  if (size > maximumSize - margin) return "MAXIMUM_SIZE";
  return (mode & minimumFileMode) === minimumFileMode ? undefined : "MINIMUM_FILE_MODE";
}

/** Repeats a push that fails, because the pool may have lost files: then one push fails, and its retry succeeds. */
async function pushWithRetry(options: DemoOptions): Promise<DemoPush> {
  try {
    return await pushOnce(options);
  } catch (error) {
    if (!(error instanceof PushFailed) || error.status !== undefined) throw error;
    options.print(`The push failed: ${error.message}. Pushing again …`);
    return { ...(await pushOnce(options)), failure: error.message };
  }
}

async function pushOnce({ directory, target, settings, log }: DemoOptions): Promise<DemoPush> {
  const { requested, matched, uploadedFiles, matchRequestIds, traceId } = await push(directory, target);
  const row = { files: requested, uploaded: uploadedFiles };
  if (settings.mode === "shadow") {
    const shadowed = settings.features.resourceMatching ? await log.waitForShadowed(traceId) : undefined;
    return { ...row, cache: shadowed?.wouldMatch, cloudController: matched };
  }
  const { snapshot, keys, origin, rejected } = await log.sumTiers(matchRequestIds);
  return { ...row, cache: snapshot + keys - rejected, cloudController: origin };
}

/**
 * Repeats the request of the app until the cache has what it can have.
 *
 * @returns false if that takes longer than CACHED_MAX_SECONDS, or if the cache is suspended
 */
async function waitUntilCached(
  resources: readonly unknown[],
  eligible: number,
  options: DemoOptions,
): Promise<boolean> {
  const deadline = Date.now() + CACHED_MAX_SECONDS * 1000;
  while (Date.now() < deadline && !(await options.readSuspension())) {
    try {
      if (await isCached(resources, eligible, options)) return true;
      await pause(POLL_MS);
    } catch (error) {
      if (!(error instanceof PushFailed) || error.status !== RATE_LIMITED) throw error;
      await pause(RATE_LIMITED_POLL_MS);
    }
  }
  return false;
}

async function isCached(
  resources: readonly unknown[],
  eligible: number,
  { target: { url, token, matchesUrl }, settings, log }: DemoOptions,
): Promise<boolean> {
  // A new connection is a new push, so that no earlier decision counts.
  const connection = new CfConnection(matchesUrl ?? url, token);
  await connection.postJson(MATCHES_PATH, { resources });
  if (settings.mode === "shadow") return (await log.waitForShadowed(connection.traceId)).missedMatches === 0;
  const { snapshot, keys, origin } = await log.sumTiers(connection.requestIds);
  return settings.cloudControllerUrl ? origin === 0 : snapshot + keys === eligible;
}
