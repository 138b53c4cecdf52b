import { importOf } from "./import-of.ts";

/**
 * Environment of a process that waits shorter than it believes. Its own work takes as long as ever, so that a busy machine changes
 * nothing.
 *
 * @param timeouts factor for `setTimeout`
 * @param pauses factor for pauses before retries
 */
export function fastClock(timeouts: number, pauses = timeouts): Record<string, string> {
  const code = `import { syncBuiltinESMExports } from "node:module";
    import timers from "node:timers/promises";
    const now = performance.now.bind(performance);
    let skippedMs = 0;
    performance.now = () => now() + skippedMs;
    const startWait = (ms) => {
      const end = performance.now() + ms;
      return () => {
        skippedMs = Math.max(skippedMs, end - now());
      };
    };
    const { setTimeout } = globalThis;
    globalThis.setTimeout = (callback, ms, ...rest) => {
      const endWait = startWait(ms);
      return setTimeout(() => (endWait(), callback(...rest)), ms / ${timeouts});
    };
    const pause = timers.setTimeout;
    timers.setTimeout = async (ms, ...rest) => {
      const endWait = startWait(ms);
      await pause(ms / ${pauses}, ...rest);
      endWait();
    };
    syncBuiltinESMExports();`;
  return { NODE_OPTIONS: `--import=${importOf(code)}` };
}
