import manifest from "../../package.json" with { type: "json" };
import type { CacheStatus, ObservationsResult, ResourcePage } from "../operator-api/responses.ts";

const PRESENT = { checksum: { value: "79854389a18751ee065ee93124f14cf614956a87" }, size_in_bytes: 70_000 };
const OTHER = { checksum: { value: "a9993e364706816aba3e25717850c26c9cd0d89d" }, size_in_bytes: 70_000 };

export const MATCH_REQUEST = {
  resources: [
    { ...PRESENT, path: "a.js", mode: "644" },
    { ...OTHER, path: "b.js", mode: "644" },
  ],
};

export const MATCHES = { resources: MATCH_REQUEST.resources.slice(0, 1) };

export const OBSERVATIONS = {
  observed_at: "2026-11-24T03:17:00.000Z",
  present: [PRESENT],
  removed: [{ checksum: OTHER.checksum }],
};

export const OBSERVATIONS_RESULT: ObservationsResult = {
  changed: 1,
  unchanged: 1,
  refused: { "outside-limits": 0, "too-old": 0, "conflicting-size": 0 },
};

export const PAGE: ResourcePage = { resources: [PRESENT, OTHER], after: OTHER.checksum.value };

export const STATUS: CacheStatus = {
  version: manifest.version,
  time: "2026-11-24T03:20:00.000Z",
  entries: 105_000,
  keys_waiting: 104_500,
  removals: 12,
  dirty_since: null,
  published: { at: "2026-11-24T03:17:02.000Z", delta: { added: 240, removed: 12 } },
  snapshot: { id: "x1", entries: 104_772, parts: 1, built_at: "2026-11-23T21:00:00.000Z" },
  suspended_until: null,
  forgotten_at: null,
  removed_since_suspension: 0,
  last_hour: { requests: 40, eligible: 8_000, matched: 7_600, matched_by_cache: 7_400, failed_open: 0 },
  checks: [{ name: "matching", level: "ok", text: "Matching is on." }],
  refused: { "outside-limits": 3, "too-old": 0, "conflicting-size": 0 },
  configuration: {
    UAA_URL: "https://uaa.example.com",
    MINIMUM_SIZE: 65_536,
    MINIMUM_FILE_MODE: "0600",
    CLOUD_CONTROLLER_URL: true,
    METRICS: false,
  },
};
