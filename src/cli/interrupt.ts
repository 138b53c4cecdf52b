import { EXIT_CODES } from "./exit.ts";
import { note } from "./output.ts";

const interruption = new AbortController();
let finishesFirst = false;

/** Ctrl-C ends the process at once, unless `finishOnInterrupt` says that something must be finished. */
export function listenForInterrupts(): void {
  process.on("SIGINT", () => {
    if (!finishesFirst || interruption.signal.aborted) process.exit(EXIT_CODES.interrupted);
    note("Interrupted: finishing the running batch. Ctrl-C again stops at once.");
    interruption.abort();
  });
}

/** @returns is aborted by the first Ctrl-C; the second one ends the process */
export function finishOnInterrupt(): AbortSignal {
  finishesFirst = true;
  return interruption.signal;
}

/**
 * The items of `source` until the signal is aborted, even if the source is just then waiting for something that
 * never comes.
 */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const aborted = new Promise<{ done: true }>((resolve) => {
    signal.addEventListener("abort", () => resolve({ done: true }), { once: true });
  });
  const iterator = source[Symbol.asyncIterator]();
  try {
    while (!signal.aborted) {
      const next = iterator.next();
      const result = await Promise.race([next, aborted]);
      if (result.done) {
        // Nobody waits for it any more.
        next.catch(() => {});
        return;
      }
      yield result.value;
    }
  } finally {
    // Not awaited: a source that hangs would keep this from ending.
    iterator.return?.().catch(() => {});
  }
}
