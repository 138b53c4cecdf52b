import { vi } from "vitest";

const realNow = Date.now;
let aheadMs = 0;

/** Moves `Date.now` forward, until `vi.restoreAllMocks`. */
export function advanceClock(ms: number): void {
  aheadMs = vi.isMockFunction(Date.now) ? aheadMs + ms : ms;
  vi.spyOn(Date, "now").mockImplementation(() => realNow() + aheadMs);
}
