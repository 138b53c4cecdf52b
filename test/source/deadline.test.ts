import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { withTimeout } from "../../src/time/deadline.ts";

const GC_MS = 20;

it("does not keep the result of a call in memory until its timeout", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const results: WeakRef<object>[] = [];
  const call = async () => {
    const result = new Uint8Array(1_000);
    results.push(new WeakRef(result));
    return result;
  };
  for (let calls = 0; calls < 10; calls++) await withTimeout(60_000, call());
  await pause(GC_MS);
  collectGarbage();
  const kept = results.filter((result) => result.deref() !== undefined);
  expect(kept.length).toBeLessThanOrEqual(1);
});
