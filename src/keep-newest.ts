/** Sets an entry as the newest one, and deletes the oldest one if the map then has more than `max`. */
export function keepNewest<Key, Value>(entries: Map<Key, Value>, key: Key, value: Value, max: number): void {
  // Delete first: a Map lists its entries in the order of insertion.
  entries.delete(key);
  entries.set(key, value);
  const [oldest] = entries.keys();
  if (entries.size > max && oldest !== undefined) entries.delete(oldest);
}
