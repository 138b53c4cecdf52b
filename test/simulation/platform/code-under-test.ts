/** The real code that runs over the models of the platform. */
export { UaaKeys } from "../../../src/auth/uaa-keys.ts";
export { COMPLETE_SNAPSHOT } from "../../../src/cache/edge-cache.ts";
export { INLINE_DELTA } from "../../../src/catalog/manifest-writer.ts";
export { type Configuration, configurationOf, type Env } from "../../../src/configuration.ts";
export { Catalog, default as worker, PushSessions } from "../../../src/index.ts";
export { PushSession } from "../../../src/push-sessions/push-session.ts";
export { MatchRequest } from "../../../src/resource-match/match-request.ts";
export type { Resource } from "../../../src/resource-match/resource-schema.ts";
