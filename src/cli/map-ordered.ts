/**
 * `transform` of each item, in the items' order, of which up to `concurrency` run at a time.
 */
export async function* mapOrdered<T, R>(
  items: AsyncIterable<T>,
  concurrency: number,
  transform: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  for await (const item of items) {
    const result = transform(item);
    // It may fail before its turn comes to be awaited.
    result.catch(() => {});
    running.push(result);
    if (running.length >= concurrency) yield (await running.shift()) as R;
  }
  for (const result of running) yield await result;
}
