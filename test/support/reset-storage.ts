import { reset } from "cloudflare:test";
import { beforeAll, vi } from "vitest";
import { replaceIsolate } from "./worker.ts";

// One runtime serves all files, since each takes seconds of CPU to start: what one leaves is gone before the next.
beforeAll(async () => {
  vi.restoreAllMocks();
  await reset();
  replaceIsolate();
});
