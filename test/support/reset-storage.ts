import { reset } from "cloudflare:test";
import { beforeAll, vi } from "vitest";
import { replaceIsolate } from "./worker.ts";

// All test files share one runtime, because a runtime takes seconds of CPU to start. Each file begins with empty storage.
beforeAll(async () => {
  vi.restoreAllMocks();
  await reset();
  replaceIsolate();
});
