/** The real code, as far as it runs over the models of the platform. */
export { Catalog } from "../../../src/catalog/catalog.ts";
export { consumePoolEvents } from "../../../src/catalog/consumer.ts";
export { type Configuration, configurationOf, type Env } from "../../../src/configuration.ts";
export { PushMemory } from "../../../src/push-memory/push-memory.ts";
export { answerResources } from "../../../src/resource-match/answer-resources.ts";
export type { Resource } from "../../../src/resource-match/request.ts";
