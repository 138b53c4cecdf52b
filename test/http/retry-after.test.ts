import { afterEach, expect, it, vi } from "vitest";
import { retryAfterMs } from "../../src/http/retry-after.ts";

const NOW = Date.parse("2026-11-30T12:00:00Z");

afterEach(() => vi.restoreAllMocks());

it.each([
  ["seconds", "120", 120_000],
  ["no seconds", "0", 0],
  ["a date", "Mon, 30 Nov 2026 12:01:30 GMT", 90_000],
  ["a date in the past", "Mon, 30 Nov 2026 11:00:00 GMT", 0],
  ["seconds since the epoch, as the Cloud Controller sends them", `${NOW / 1000 + 45}`, 45_000],
  ["seconds since the epoch that have passed", `${NOW / 1000 - 45}`, 0],
  ["a number of any length", "9".repeat(400), Number.POSITIVE_INFINITY],
  ["text", "soon", undefined],
  ["no text", "", undefined],
])("reads %s in Retry-After", (_, value, ms) => {
  vi.spyOn(Date, "now").mockReturnValue(NOW);
  expect(retryAfterMs(new Headers({ "Retry-After": value }))).toBe(ms);
});

it("returns undefined without Retry-After", () => {
  expect(retryAfterMs(new Headers())).toBeUndefined();
});
