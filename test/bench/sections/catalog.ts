import {
  type AlarmCost,
  type CatalogFigures,
  type Cost,
  measureCatalog,
} from "../support/catalog-process.ts";
import { round } from "../support/measure.ts";
import type { Cell, Findings, Section } from "../support/section.ts";

/** The largest is the largest snapshot. */
const SIZES = [1_000_000, 6_000_000];
const MILLION_CPU_MAX_S = 10;
/** `cpu_ms` of wrangler.toml. */
const ALARM_CPU_MAX_S = 300;
/** Half of the memory of a Durable Object. */
const GROWTH_MAX_MB = 64;

/** Measures the catalog in workerd: recording observations, and publishing. */
export const catalog: Section = {
  name: "catalog",
  async run(): Promise<Findings> {
    const all: CatalogFigures[] = [];
    for (const entries of SIZES) all.push(await measureCatalog(entries));
    const [million, largest] = all as [CatalogFigures, CatalogFigures];
    const worst = (figure: "cpuMs" | "growthBytes", { firstAlarm, snapshotAlarm }: CatalogFigures) =>
      Math.max(firstAlarm[figure], snapshotAlarm[figure]);
    return {
      tables: [
        {
          title: "The catalog in workerd: 50,000 observations of new resources",
          columns: ["entries afterwards", "ms", "CPU ms", "tables MB"],
          rows: [
            [50_000, ...formatCost(million.firstObserved), ""],
            ...all.map(({ entries, lastObserved, tableBytes }): Cell[] => [
              entries,
              ...formatCost(lastObserved),
              toMegabytes(tableBytes),
            ]),
          ],
          note: "The observations are sent as JSON over HTTP to a Worker that calls the object.",
        },
        {
          title: "The catalog in workerd: one alarm that publishes",
          columns: [
            "entries",
            "alarm",
            "s",
            "CPU s",
            "memory growth MB",
            "values written",
            "MB written",
            "rows read",
          ],
          rows: all.flatMap(({ entries, firstAlarm, snapshotAlarm }): Cell[][] => [
            [entries, "all entries new, 500 keys", ...formatAlarm(firstAlarm)],
            [entries, "snapshot rewritten", ...formatAlarm(snapshotAlarm)],
          ]),
          note:
            "CPU of all threads of workerd. Memory growth: the maximum during the alarm minus the memory before it, which is " +
            "heap, buffers and pages of SQLite. A local workerd does not enforce 128 MB. KV takes no time and no memory.",
        },
      ],
      targets: [
        {
          what: "publishing 10^6 entries, CPU",
          measured: worst("cpuMs", million) / 1000,
          atMost: MILLION_CPU_MAX_S,
          unit: " s",
        },
        {
          what: "publishing 6 x 10^6 entries, CPU",
          measured: worst("cpuMs", largest) / 1000,
          atMost: ALARM_CPU_MAX_S,
          unit: " s",
        },
        {
          what: "publishing 6 x 10^6 entries, memory growth",
          measured: worst("growthBytes", largest) / 1e6,
          atMost: GROWTH_MAX_MB,
          unit: " MB",
        },
      ],
    };
  },
};

function formatCost({ wallMs, cpuMs }: Cost): Cell[] {
  return [Math.round(wallMs), Math.round(cpuMs)];
}

function formatAlarm({ wallMs, cpuMs, growthBytes, ...written }: AlarmCost): Cell[] {
  const { values, bytes, rowsRead } = written;
  const costs = [round(wallMs / 1000), round(cpuMs / 1000), toMegabytes(growthBytes)];
  return [...costs, values, toMegabytes(bytes), rowsRead];
}

function toMegabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
