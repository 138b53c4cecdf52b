import { vi } from "vitest";

/** Collects the log lines from now on, parsed, instead of printing them. */
export function collectLogs(): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  for (const level of ["log", "warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation((line: string) => {
      lines.push({ level, ...JSON.parse(line) });
    });
  }
  return lines;
}
