import type { TestProject } from "vitest/node";
import { bundleWorker, type Modules } from "../support/node/bundle.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The Worker as it is deployed. */
    worker: Modules;
    /** The Worker with commands for tests: test/e2e/worker. */
    controlledWorker: Modules;
  }
}

/** Bundles the Worker once for all tests, because it takes more than a second of CPU. */
export default async function bundle(project: TestProject): Promise<void> {
  const [worker, controlledWorker] = await Promise.all([
    bundleWorker(),
    bundleWorker("test/e2e/worker/entry.ts"),
  ]);
  project.provide("worker", worker);
  project.provide("controlledWorker", controlledWorker);
}
