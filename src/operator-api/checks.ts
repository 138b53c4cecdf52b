import { SNAPSHOT_ENTRIES_MAX } from "../cache/manifest.ts";
import type { Configuration } from "../configuration.ts";
import { formatCount, formatDuration, formatNumber } from "../format.ts";
import { MANIFEST_TOUCH_MS, MANIFEST_TRUSTED_MS } from "../time/time-guarantees.ts";
import type { CacheCheck, CacheStatus } from "./responses.ts";

const MINUTE_MS = 60 * 1000;
const HOUR_MS = 60 * MINUTE_MS;
/** The catalog rewrites the manifest at least every hour: an older one missed a rewrite. */
const MANIFEST_OVERDUE_MS = 2 * MANIFEST_TOUCH_MS;
/**
 * A change is usually published within 10 s. It takes up to a minute longer while a pool of millions is packed, or while KV
 * refuses writes for a moment.
 */
const DIRTY_WARN_MS = 2 * MINUTE_MS;
/** Longer than the three minutes after which no removed file is matched. */
const DIRTY_FAIL_MS = 10 * MINUTE_MS;
/** The catalog builds a snapshot once a day, and retries a failed one after some minutes. */
const SNAPSHOT_OVERDUE_MS = 26 * HOUR_MS;

const SEARCH_LOG = "Search the Worker's log for `catalog-step-failed`: it names the step that failed.";

type UncheckedStatus = Omit<CacheStatus, "checks">;
type Finding = Pick<CacheCheck, "level" | "text">;

/** Checks the state of the cache. Ages count from `status.time`. */
export function runChecks(
  status: UncheckedStatus,
  configuration: Pick<Configuration, "features" | "mode" | "keysPerDay" | "cloudControllerUrl">,
): CacheCheck[] {
  const { features, mode, keysPerDay, cloudControllerUrl } = configuration;
  return [
    { name: "matching", ...checkMatching(features.resourceMatching, mode) },
    { name: "catalog", ...checkCatalog(status, cloudControllerUrl !== undefined) },
    { name: "manifest", ...checkManifest(status) },
    { name: "snapshot", ...checkSnapshot(status) },
    { name: "keys", ...checkKeys(status, keysPerDay) },
    { name: "suspension", ...checkSuspension(status) },
    { name: "last hour", ...checkLastHour(status, mode) },
  ];
}

function checkMatching(isOn: boolean, mode: Configuration["mode"]): Finding {
  if (mode === "shadow") {
    return warn(
      isOn
        ? "MODE is shadow. The Cloud Controller responds to every push. The cache is only compared with it. Set MODE to answer " +
            "once they agree."
        : "MODE is shadow and FEATURE_RESOURCE_MATCHING is false. The Cloud Controller responds to every push. The cache is not " +
            "compared with it, and its matches are not recorded. Set FEATURE_RESOURCE_MATCHING to true to compare it.",
    );
  }
  if (isOn) return ok("Matching is on.");
  return warn(
    "FEATURE_RESOURCE_MATCHING is false. Nothing matches, so pushes upload every file. Set it to true to match again.",
  );
}

function checkCatalog({ entries }: UncheckedStatus, hasCloudController: boolean): Finding {
  if (entries > 0) return ok(`The catalog has ${formatCount(entries, "resource")}.`);
  return warn(
    "The catalog is empty, so the cache matches nothing. Fill it from the pool with `resource-pool sync`, `add` or " +
      `\`import\`, or ${hasCloudController ? "" : "set CLOUD_CONTROLLER_URL and "}let pushes fill it.`,
  );
}

function checkManifest({ published, dirty_since: dirtySince, time }: UncheckedStatus): Finding {
  if (!published && dirtySince === null) return ok("There is nothing to publish.");
  const manifestAgeMs = published ? ageMs(published.at, time) : 0;
  const written = published
    ? `The manifest was written ${formatDuration(manifestAgeMs)} ago`
    : "Nothing is published yet";
  if (manifestAgeMs >= MANIFEST_TRUSTED_MS) {
    return fail(
      `${written}. Isolates ignore a manifest that is a day old, so the cache matches nothing. ${SEARCH_LOG} Then run ` +
        "`resource-pool publish` to publish everything again.",
    );
  }
  if (manifestAgeMs > MANIFEST_OVERDUE_MS) {
    return fail(`${written}, but is due every hour. Removed files may still be matched. ${SEARCH_LOG}`);
  }
  const dirtyMs = dirtySince === null ? 0 : ageMs(dirtySince, time);
  const waiting = `${written}. The oldest unpublished change is ${formatDuration(dirtyMs)} old`;
  if (dirtyMs >= DIRTY_FAIL_MS) {
    return fail(
      `${waiting}. Removed files may still be matched, and new files are uploaded. ${SEARCH_LOG} The usual cause is that KV ` +
        "refuses writes, for example because the daily writes of the Workers Free plan are used up. If no step failed, run " +
        "`resource-pool publish`.",
    );
  }
  if (dirtyMs >= DIRTY_WARN_MS) {
    return warn(`${waiting}; a few seconds are normal. If that does not change: ${SEARCH_LOG}`);
  }
  if (!published) return warn(`${written}. It takes a few seconds. If that does not change: ${SEARCH_LOG}`);
  return ok(`${written}.${dirtySince === null ? "" : " Newer changes follow within seconds."}`);
}

function checkSnapshot({ snapshot, entries, time }: UncheckedStatus): Finding {
  if (entries === 0) return ok("There is nothing to pack.");
  if (!snapshot) {
    return warn(
      `There is no snapshot yet. Until then only keys and the delta are read. If that does not change: ${SEARCH_LOG}`,
    );
  }
  const snapshotAgeMs = ageMs(snapshot.built_at, time);
  const built = `The snapshot of ${formatCount(snapshot.entries, "resource")} was built ${formatDuration(snapshotAgeMs)} ago`;
  if (snapshotAgeMs <= SNAPSHOT_OVERDUE_MS) return ok(`${built}.`);
  return warn(
    `${built}, but is due every day. Matches are still correct, but isolates read more from KV. ${SEARCH_LOG}`,
  );
}

function checkKeys({ keys_waiting: waiting, entries }: UncheckedStatus, keysPerDay: number): Finding {
  if (entries === 0) return ok("There are no keys to write.");
  if (waiting === 0) return ok("All keys are written.");
  const left = `${formatCount(waiting, "key")} left to write, at most ${formatNumber(keysPerDay)} a day`;
  if (entries <= SNAPSHOT_ENTRIES_MAX) return ok(`${left}. The snapshot matches without them.`);
  return warn(
    `${left}. The pool is larger than a snapshot, so files without a key are uploaded. Raise KEYS_PER_DAY, on a paid plan.`,
  );
}

function checkSuspension({
  suspended_until: until,
  removed_since_suspension: removed,
}: UncheckedStatus): Finding {
  if (until === null) return ok("The cache is not suspended.");
  const found =
    `The cache is suspended until ${until}, because the Cloud Controller rejected many of its matches. ` +
    "Until then only the Cloud Controller matches, and pushes work.";
  if (removed > 0) {
    return warn(
      `${found} Since it began, ${formatCount(removed, "resource")} ${removed === 1 ? "was" : "were"} removed from the ` +
        "cache. If the pool has lost no others, there is nothing more to do: the suspension ends by itself.",
    );
  }
  return fail(
    `${found} If the pool was wiped, run \`resource-pool forget --yes\`: it empties the cache and ends the suspension. If the ` +
      "pool was pruned or restored, run `sync --prune --yes`, or `verify --remove`: the suspension then ends by itself. If the " +
      "pool has lost nothing, check whether the Cloud Controller has resource_matching enabled and uses this pool.",
  );
}

/** A low ratio is `ok`: it may be right, since the pool may lack the pushed files. */
function checkLastHour({ last_hour: lastHour }: UncheckedStatus, mode: Configuration["mode"]): Finding {
  if (mode === "shadow") {
    return ok(
      "MODE is shadow, so no push gets matches of the cache. `shadowed` in the log and in METRICS shows what it would have matched.",
    );
  }
  const { requests, eligible, matched, matched_by_cache: byCache, failed_open: failedOpen } = lastHour;
  if (failedOpen > 0) {
    return warn(
      `The Cloud Controller responded to ${formatCount(failedOpen, "request")} in the last hour, because this isolate of the ` +
        "Worker failed. Search the log for `failed-open`, which has the reason.",
    );
  }
  if (eligible === 0) return ok("This isolate received no eligible resources in the last hour.");
  const percent = (count: number) => `${((100 * count) / eligible).toFixed(1)} %`;
  const byOthers =
    matched > byCache ? ` With the Cloud Controller's matches it was ${percent(matched)}.` : "";
  return ok(
    `In the last hour the cache matched ${percent(byCache)} (${formatNumber(byCache)} of ${formatNumber(eligible)}) of the ` +
      `eligible resources that this isolate received in ${formatCount(requests, "request")}.${byOthers}`,
  );
}

const ok = (text: string): Finding => ({ level: "ok", text });
const warn = (text: string): Finding => ({ level: "warn", text });
const fail = (text: string): Finding => ({ level: "fail", text });

/** How long before `now` a time was, in ms; 0 if another machine's clock makes it later. */
function ageMs(time: string, now: string): number {
  return Math.max(0, Date.parse(now) - Date.parse(time));
}
