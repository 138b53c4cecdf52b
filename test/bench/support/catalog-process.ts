import { setTimeout as pause } from "node:timers/promises";
import { sha1At, sizeAt } from "./resources.ts";
import { startWorker } from "./worker-process.ts";

const OBSERVATIONS = 50_000;
const SAMPLED_MS = 20;
/** The catalog writes its manifest no sooner after the last one. */
const PACE_MS = 10_000;

/** What work cost in workerd. */
export interface Cost {
  /** Milliseconds. */
  wall: number;
  cpu: number;
  /** Resident bytes at most, beyond those before. */
  growth: number;
}

export interface AlarmCost extends Cost {
  /** What was written to KV: values, and their bytes. */
  values: number;
  bytes: number;
}

export interface CatalogFigures {
  entries: number;
  /** 50,000 observations: of an empty catalog, and of the full one. */
  firstObserved: Cost;
  lastObserved: Cost;
  /** Bytes of the tables. */
  tables: number;
  /** The alarm that publishes all of them for the first time, and the one that builds the snapshot again. */
  first: AlarmCost;
  again: AlarmCost;
}

/** What a catalog of so many entries costs, in a workerd of its own. */
export async function measureCatalog(entries: number): Promise<CatalogFigures> {
  const worker = await startWorker("catalog");
  const post = async <T>(path: string, body?: object): Promise<T> => {
    const sent = { method: "POST", body: body ? JSON.stringify(body) : null };
    const response = await fetch(new URL(path, worker.url), sent);
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as T;
  };
  const cost = async <T>(work: () => Promise<T>): Promise<T & Cost> => {
    const before = worker.usage();
    const begun = performance.now();
    let most = before.bytes;
    let isDone = false;
    const sampling = (async () => {
      while (!isDone) {
        most = Math.max(most, worker.usage().bytes);
        await pause(SAMPLED_MS);
      }
    })();
    const outcome = await work();
    const wall = performance.now() - begun;
    isDone = true;
    await sampling;
    return { ...outcome, wall, cpu: worker.usage().cpuMs - before.cpuMs, growth: most - before.bytes };
  };
  const observe = (from: number) => {
    const present = Array.from(
      { length: OBSERVATIONS },
      (_, at) => `${sha1At(from + at)}:${sizeAt(from + at)}`,
    );
    return cost(() => post<object>("/observe", { asOf: Date.now(), present, sizes: "verified" }));
  };
  const alarm = () => cost(() => post<{ values: number; bytes: number; tables: number }>("/alarm"));

  try {
    await post("/status");
    const firstObserved = await observe(0);
    for (let filled = 2 * OBSERVATIONS; filled < entries; filled += OBSERVATIONS) await post("/fill");
    const lastObserved = await observe(OBSERVATIONS);
    const first = await alarm();
    await pause(PACE_MS);
    await alarm();
    await post("/publish");
    await pause(PACE_MS);
    const again = await alarm();
    const { snapshot } = await post<{ snapshot: { entries: number } }>("/status");
    if (snapshot.entries !== entries)
      throw new Error(`${snapshot.entries} entries, where ${entries} are present`);
    return { entries, firstObserved, lastObserved, tables: again.tables, first, again };
  } finally {
    await worker.stop();
  }
}
