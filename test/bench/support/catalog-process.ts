import { setTimeout as pause } from "node:timers/promises";
import { sha1At, sizeAt } from "./resources.ts";
import { startWorker } from "./worker-process.ts";

const OBSERVATIONS = 50_000;
const SAMPLE_INTERVAL_MS = 20;
/** Minimum time between two manifests of the catalog. */
const MANIFEST_INTERVAL_MS = 10_000;

/** The cost of work in workerd. */
export interface Cost {
  wallMs: number;
  cpuMs: number;
  /** Maximum of the resident memory minus the resident memory before. */
  growthBytes: number;
}

export interface AlarmCost extends Cost {
  /** Values written to KV, and their size. */
  values: number;
  bytes: number;
  rowsRead: number;
}

export interface CatalogFigures {
  entries: number;
  /** 50,000 observations, reported to an empty catalog and to the full one. */
  firstObserved: Cost;
  lastObserved: Cost;
  tableBytes: number;
  /** The alarm that publishes all entries for the first time. */
  firstAlarm: AlarmCost;
  /** The alarm that rewrites the snapshot. */
  snapshotAlarm: AlarmCost;
}

/** Measures a catalog of this size in its own workerd process. */
export async function measureCatalog(entries: number): Promise<CatalogFigures> {
  const worker = await startWorker("catalog");
  const post = async <T>(path: string, body?: object): Promise<T> => {
    const sent = { method: "POST", body: body ? JSON.stringify(body) : null };
    const response = await fetch(new URL(path, worker.url), sent);
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as T;
  };
  const measureCost = async <T>(work: () => Promise<T>): Promise<T & Cost> => {
    const before = worker.usage();
    const start = performance.now();
    let maxBytes = before.bytes;
    let isDone = false;
    const sampling = (async () => {
      while (!isDone) {
        maxBytes = Math.max(maxBytes, worker.usage().bytes);
        await pause(SAMPLE_INTERVAL_MS);
      }
    })();
    const outcome = await work();
    const wallMs = performance.now() - start;
    isDone = true;
    await sampling;
    const cpuMs = worker.usage().cpuMs - before.cpuMs;
    return { ...outcome, wallMs, cpuMs, growthBytes: maxBytes - before.bytes };
  };
  const observe = (from: number) => {
    const present = Array.from(
      { length: OBSERVATIONS },
      (_, at) => `${sha1At(from + at)}:${sizeAt(from + at)}`,
    );
    return measureCost(() => post<object>("/observe", { asOf: Date.now(), present, sizes: "verified" }));
  };
  const runAlarm = () =>
    measureCost(() =>
      post<{ values: number; bytes: number; rowsRead: number; tableBytes: number }>("/alarm"),
    );

  try {
    await post("/status");
    const firstObserved = await observe(0);
    for (let filled = 2 * OBSERVATIONS; filled < entries; filled += OBSERVATIONS) await post("/fill");
    await post("/restart");
    const lastObserved = await observe(OBSERVATIONS);
    const firstAlarm = await runAlarm();
    await pause(MANIFEST_INTERVAL_MS);
    await runAlarm();
    await post("/publish");
    await pause(MANIFEST_INTERVAL_MS);
    const snapshotAlarm = await runAlarm();
    const { snapshot } = await post<{ snapshot: { entries: number } }>("/status");
    if (snapshot.entries !== entries)
      throw new Error(`the snapshot has ${snapshot.entries} entries instead of ${entries}`);
    const { tableBytes } = snapshotAlarm;
    return { entries, firstObserved, lastObserved, tableBytes, firstAlarm, snapshotAlarm };
  } finally {
    await worker.stop();
  }
}
