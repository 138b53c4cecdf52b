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
  const iterator = source[Symbol.asyncIterator]();
  let stop = () => {};
  signal.addEventListener("abort", () => stop(), { once: true });
  try {
    while (!signal.aborted) {
      // Not Promise.race: it would keep something of each item until the signal is aborted.
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        stop = () => resolve({ done: true, value: undefined });
        iterator.next().then(resolve, reject);
      });
      if (result.done) return;
      yield result.value;
    }
  } finally {
    // Not awaited: a source that hangs would keep this from ending.
    iterator.return?.().catch(() => {});
  }
}
