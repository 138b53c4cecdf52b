/** The real code that runs over the models of the platform. */
export { Catalog } from "../../../src/catalog/catalog.ts";
export { consumePoolEvents } from "../../../src/catalog/consumer.ts";
export { type Configuration, configurationOf, type Env } from "../../../src/configuration.ts";
export { pushIdOf } from "../../../src/push-sessions/push-id.ts";
export { PushSessions } from "../../../src/push-sessions/push-sessions.ts";
export { parseMatchRequest } from "../../../src/resource-match/match-request.ts";
export { resolveRequest } from "../../../src/resource-match/resolve-request.ts";
export type { Resource } from "../../../src/resource-match/resource-schema.ts";
