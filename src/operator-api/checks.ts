import { SNAPSHOT_ENTRIES_MAX } from "../cache/manifest.ts";
import type { Configuration } from "../configuration.ts";
import { formatCount, formatDuration, formatNumber } from "../format.ts";
import { MANIFEST_TOUCH_MS, MANIFEST_TRUSTED_MS } from "../time/time-guarantees.ts";
import type { CacheCheck, CacheStatus } from "./responses.ts";

const MINUTE_MS = 60 * 1000;
const HOUR_MS = 60 * MINUTE_MS;
/** The catalog touches the manifest every hour: one that is older has missed a touch. */
const MANIFEST_OVERDUE_MS = 2 * MANIFEST_TOUCH_MS;
/**
 * Changes are published 10 s after those before at the soonest. While a pool of millions is packed, and where KV takes no
 * write for a moment, it is a minute more.
 */
const DIRTY_WARN_MS = 2 * MINUTE_MS;
/** By then the three minutes are missed for which a removed file may still be claimed. */
const DIRTY_FAIL_MS = 10 * MINUTE_MS;
/** The catalog packs a new snapshot once a day, and tries again after some minutes where that fails. */
const SNAPSHOT_MS = 26 * HOUR_MS;

const LOG = "Look for catalog-step-failed in the Worker's log, which names what failed.";

/** The judgement of a status, by the Worker's own clock. */
export function runChecks(
  status: Omit<CacheStatus, "checks">,
  {
    features,
    mode,
    keysPerDay,
    cloudControllerUrl,
  }: Pick<Configuration, "features" | "mode" | "keysPerDay" | "cloudControllerUrl">,
): CacheCheck[] {
  return [
    matchingCheck(features.resourceMatching, mode),
    catalogCheck(status, cloudControllerUrl !== undefined),
    manifestCheck(status),
    snapshotCheck(status),
    keysCheck(status, keysPerDay),
    suspensionCheck(status),
    lastHourCheck(status, mode),
  ];
}

type Judged = Omit<CacheStatus, "checks">;

function matchingCheck(isOn: boolean, mode: Configuration["mode"]): CacheCheck {
  if (mode === "shadow") {
    const told = "MODE is shadow: the Cloud Controller answers every push";
    return warn(
      "matching",
      isOn
        ? `${told}, and the cache is only compared.`
        : `${told}. FEATURE_RESOURCE_MATCHING is false, so that the cache is not compared, and learns nothing of it.`,
    );
  }
  return isOn
    ? ok("matching", "Matching is on.")
    : warn("matching", "FEATURE_RESOURCE_MATCHING is false: nothing matches, and pushes upload everything.");
}

function catalogCheck({ entries }: Judged, hasCloudController: boolean): CacheCheck {
  if (entries > 0) return ok("catalog", `The catalog holds ${formatCount(entries, "resource")}.`);
  return warn(
    "catalog",
    "The catalog holds nothing. Fill it from the pool with `resource-pool sync`, `add` or `import`, or " +
      `${hasCloudController ? "" : "set CLOUD_CONTROLLER_URL and "}let pushes fill it.`,
  );
}

function manifestCheck({ published, dirty_since: since, time }: Judged): CacheCheck {
  if (!published && since === null) return ok("manifest", "There is nothing to publish.");
  const [now, publishedAt] = [Date.parse(time), published && Date.parse(published.at)];
  const age = publishedAt === null ? 0 : now - publishedAt;
  const told =
    publishedAt === null ? "Nothing is published yet" : `The manifest was written ${formatAge(age)}`;
  if (age >= MANIFEST_TRUSTED_MS) {
    return fail(
      "manifest",
      `${told}: the edge believes none that is a day old, and nothing of the cache is claimed. ${LOG} ` +
        "Then `resource-pool publish` has everything published anew.",
    );
  }
  if (age > MANIFEST_OVERDUE_MS) {
    return fail(
      "manifest",
      `${told}, though it is due every hour: removed files may still be claimed. ${LOG}`,
    );
  }
  const behind = since === null ? 0 : now - Date.parse(since);
  const waiting = `${told}, and the oldest change that is not published came ${formatAge(behind)}`;
  if (behind >= DIRTY_FAIL_MS) {
    return fail(
      "manifest",
      `${waiting}: removed files may still be claimed, and new ones are uploaded. ${LOG} Mostly KV refuses a write, as it ` +
        "does once the day's writes of the Workers Free plan are spent. If nothing failed, `resource-pool publish` wakes " +
        "the catalog.",
    );
  }
  if (behind >= DIRTY_WARN_MS) {
    return warn("manifest", `${waiting}, where seconds are usual. If it stays so: ${LOG}`);
  }
  if (!published) return warn("manifest", `${told}. That takes seconds; if it stays so: ${LOG}`);
  return ok("manifest", since === null ? `${told}.` : `${told}. Newer changes follow within seconds.`);
}

function snapshotCheck({ snapshot, entries, time }: Judged): CacheCheck {
  if (!snapshot) {
    if (entries === 0) return ok("snapshot", "There is nothing to pack.");
    return warn(
      "snapshot",
      `There is no snapshot yet; until then keys and changes answer. If it stays so: ${LOG}`,
    );
  }
  const age = Date.parse(time) - Date.parse(snapshot.built_at);
  const told = `The snapshot of ${formatCount(snapshot.entries, "resource")} was built ${formatAge(age)}`;
  return age > SNAPSHOT_MS && entries > 0
    ? warn(
        "snapshot",
        `${told}, though it is due every day: all still counts, but isolates read more. ${LOG}`,
      )
    : ok("snapshot", `${told}.`);
}

function keysCheck({ keys_waiting: waiting, entries }: Judged, keysPerDay: number): CacheCheck {
  if (waiting === 0) return ok("keys", "No key waits to be written.");
  const told = `${formatCount(waiting, "key")} wait to be written, ${formatNumber(keysPerDay)} a day at most`;
  if (entries <= SNAPSHOT_ENTRIES_MAX) return ok("keys", `${told}; the snapshot answers without them.`);
  return warn(
    "keys",
    `${told}. The pool is larger than a snapshot, so that what has no key is uploaded: raise KEYS_PER_DAY, on a paid plan.`,
  );
}

function suspensionCheck({ suspended_until: until }: Judged): CacheCheck {
  if (until === null) return ok("suspension", "The cache is not suspended.");
  return fail(
    "suspension",
    `The cache is suspended until ${until}: the Cloud Controller denied much of what it claimed, and only that answers. ` +
      "Was the pool wiped, pruned or restored, or its matching switched off? `resource-pool verify` tells what is " +
      "denied; `sync --prune` or `forget` puts the cache right.",
  );
}

/** A figure, of which nobody can say that it is too low: the pool may lack what was pushed. */
function lastHourCheck(
  { last_hour: { requests, eligible, matched } }: Judged,
  mode: Configuration["mode"],
): CacheCheck {
  if (mode === "shadow") {
    return ok(
      "last hour",
      "MODE is shadow: the cache answers no push. What it would have matched, `shadowed` in the log and METRICS tell.",
    );
  }
  if (eligible === 0) return ok("last hour", "This isolate was asked for nothing in its last hour.");
  const ratio = ((100 * matched) / eligible).toFixed(1);
  return ok(
    "last hour",
    `This isolate matched ${ratio} % in its last hour: ${formatNumber(matched)} of ${formatCount(eligible, "file")} that could match, ` +
      `in ${formatCount(requests, "request")}.`,
  );
}

const check = (level: CacheCheck["level"]) => (name: CacheCheck["name"], text: string) => ({
  name,
  level,
  text,
});
const [ok, warn, fail] = [check("ok"), check("warn"), check("fail")];

function formatAge(ms: number): string {
  return `${formatDuration(Math.max(0, ms))} ago`;
}
