export const ADMIN_SCOPE = "cloud_controller.admin";

/** Each of these lets a caller match resources. */
export const PUSH_SCOPES = [ADMIN_SCOPE, "cloud_controller.write"];

/** Each of these lets a caller read the cache. Only an admin may change it. */
export const CACHE_READ_SCOPES = [
  ADMIN_SCOPE,
  "cloud_controller.admin_read_only",
  "cloud_controller.global_auditor",
];
