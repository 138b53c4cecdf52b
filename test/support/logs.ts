import { vi } from "vitest";

/** Collects what is logged from here on, as objects, and keeps it off the terminal. */
export function collectLogs(): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  for (const level of ["log", "warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation((line: string) => {
      lines.push({ level, ...JSON.parse(line) });
    });
  }
  return lines;
}
