import { version } from "../../package.json";
import type { CatalogStatus } from "../catalog/catalog-api.ts";
import type { Configuration } from "../configuration.ts";
import { lastHourOf } from "../observability/last-hour.ts";
import { runChecks } from "./checks.ts";
import type { CacheStatus } from "./responses.ts";

/** The status of the cache and the configuration of the Worker, without secrets. @param time now, in ISO 8601 */
export function createStatus(
  catalog: CatalogStatus,
  configuration: Configuration,
  time: string,
): CacheStatus {
  const status = {
    version,
    time,
    ...catalog,
    last_hour: lastHourOf(configuration).sum(Date.now()),
    configuration: listVariables(configuration),
  };
  return { ...status, checks: runChecks(status, configuration) };
}

function listVariables(configuration: Configuration): CacheStatus["configuration"] {
  const { uaa, features, eligibility } = configuration;
  return {
    UAA_URL: uaa.url,
    UAA_ISSUER: uaa.issuer,
    UAA_AUDIENCE: uaa.audience,
    FEATURE_RESOURCE_MATCHING: features.resourceMatching,
    FEATURE_APP_BITS_UPLOAD: features.appBitsUpload,
    MINIMUM_SIZE: eligibility.minimumSize,
    MAXIMUM_SIZE: eligibility.maximumSize,
    MINIMUM_FILE_MODE: eligibility.minimumFileMode?.toString(8).padStart(4, "0") ?? null,
    KEY_PREFIX: configuration.keyPrefix,
    CLOUD_CONTROLLER_URL: configuration.cloudControllerUrl !== undefined,
    MODE: configuration.mode,
    LOOKUP_DEADLINE_MS: configuration.lookupDeadlineMs,
    KV_CACHE_TTL: configuration.kvCacheTtl,
    KEYS_PER_DAY: configuration.keysPerDay,
    DATA_JURISDICTION: configuration.jurisdiction ?? null,
    CATALOG_LOCATION: configuration.catalogLocation ?? null,
    POOL_BUCKET: configuration.poolBucket !== undefined,
    RATE_LIMITER: configuration.rateLimiter !== undefined,
    METRICS: configuration.metrics !== undefined,
  };
}
