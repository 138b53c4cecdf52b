import type { App } from "./apps.ts";

const MEBIBYTE = 1024 * 1024;
const LIMIT_MIB = 1024;

/**
 * Presents the process `web` of an app.
 *
 * @param baseUrl URL of the API, for the links
 */
export function presentProcess({ guid, createdAt, updatedAt }: App, baseUrl: string) {
  const self = `${baseUrl}/v3/processes/${guid}`;
  return {
    guid,
    type: "web",
    command: null,
    instances: 1,
    memory_in_mb: LIMIT_MIB,
    disk_in_mb: LIMIT_MIB,
    log_rate_limit_in_bytes_per_second: -1,
    health_check: { type: "port", data: { timeout: null, invocation_timeout: null } },
    readiness_health_check: { type: "process", data: { invocation_timeout: null } },
    created_at: createdAt,
    updated_at: updatedAt,
    relationships: { app: { data: { guid } }, revision: null },
    metadata: { labels: {}, annotations: {} },
    links: {
      self: { href: self },
      app: { href: `${baseUrl}/v3/apps/${guid}` },
      stats: { href: `${self}/stats` },
    },
  };
}

/** Presents the statistics of a stopped process: its one instance is down. */
export function presentStoppedStats() {
  return {
    resources: [
      {
        type: "web",
        index: 0,
        state: "DOWN",
        uptime: 0,
        mem_quota: LIMIT_MIB * MEBIBYTE,
        disk_quota: LIMIT_MIB * MEBIBYTE,
        log_rate_limit: -1,
        details: null,
        isolation_segment: null,
        routable: null,
      },
    ],
  };
}
