import { EXIT_CODES } from "./exit.ts";
import { note } from "./output.ts";

const interruption = new AbortController();
let finishesBatch = false;

/** Makes Ctrl-C end the process: immediately, or after the running batch if `finishOnInterrupt` was called. */
export function listenForInterrupts(): void {
  process.on("SIGINT", () => {
    if (!finishesBatch || interruption.signal.aborted) process.exit(EXIT_CODES.interrupted);
    note("Interrupted. Finishing the running batch. Press Ctrl-C again to stop immediately.");
    interruption.abort();
  });
}

/** @returns aborted by the first Ctrl-C; the second one ends the process */
export function finishOnInterrupt(): AbortSignal {
  finishesBatch = true;
  return interruption.signal;
}

/** Yields the items of `source` until the signal is aborted, even while the source never yields its next item. */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  let stop = () => {};
  signal.addEventListener("abort", () => stop(), { once: true });
  try {
    while (!signal.aborted) {
      // Promise.race would leak memory for each item until the signal is aborted.
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        stop = () => resolve({ done: true, value: undefined });
        iterator.next().then(resolve, reject);
      });
      if (result.done) return;
      yield result.value;
    }
  } finally {
    // Not awaited, because the source may hang.
    iterator.return?.().catch(() => {});
  }
}
