import { describe, expect, it } from "vitest";
import { ReportedPool } from "./reported-pool.ts";

/** Resource 0 is reported as present from 100 to 110, and as removed from 500 to 510. Resource 1 is never reported. */
function reportedPool(): ReportedPool {
  const pool = new ReportedPool(2);
  pool.report(0, { from: 100, to: 110, isPresent: true });
  pool.report(0, { from: 500, to: 510, isPresent: false });
  return pool;
}

describe("ReportedPool", () => {
  it.each([
    [0, 99, false],
    [0, 105, true],
    [505, 600, true],
    [511, 600, false],
  ])("allows a match of a resource between %i and %i ms: %s", (from, to, isAllowed) => {
    expect(reportedPool().mayHaveBeenPresent(0, from, to)).toBe(isAllowed);
  });

  it("never allows a match of a resource that was never reported", () => {
    expect(reportedPool().mayHaveBeenPresent(1, 0, 600)).toBe(false);
  });

  it.each([
    [105, 200, false],
    [110, 500, true],
    [110, 501, false],
  ])("requires a match of a resource between %i and %i ms: %s", (from, to, isRequired) => {
    expect(reportedPool().wasPresent(0, from, to)).toBe(isRequired);
  });

  it("allows no match of a removed resource once its removal must be visible", () => {
    const pool = reportedPool();
    pool.forgetEarlierReports(0);
    expect(pool.mayHaveBeenPresent(0, 0, 600)).toBe(false);
  });
});
