import { vi } from "vitest";

const real = Date.now;
let ahead = 0;

/** Lets so much time pass, for whoever asks for it by `Date.now`; until `vi.restoreAllMocks`. */
export function advanceClock(ms: number): void {
  ahead = vi.isMockFunction(Date.now) ? ahead + ms : ms;
  vi.spyOn(Date, "now").mockImplementation(() => real() + ahead);
}
