/** Yields `transform(item)` in the order of the items. Up to `concurrency` calls run at the same time. */
export async function* mapOrdered<T, R>(
  items: AsyncIterable<T>,
  concurrency: number,
  transform: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  for await (const item of items) {
    const result = transform(item);
    // It may reject before it is awaited below.
    result.catch(() => {});
    running.push(result);
    if (running.length >= concurrency) yield (await running.shift()) as R;
  }
  for (const result of running) yield await result;
}
