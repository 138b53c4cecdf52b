import {
  type AlarmCost,
  type CatalogFigures,
  type Cost,
  measureCatalog,
} from "../support/catalog-process.ts";
import { rounded } from "../support/measure.ts";
import type { Cell, Findings, Section } from "../support/section.ts";

const SIZES = [1_000_000, 4_000_000];
const MILLION_CPU_MAX_S = 10;
/** The platform's limits for an alarm and for an object. */
const ALARM_CPU_MAX_S = 30;
const OBJECT_MAX_MB = 128;

/** What the real catalog takes in workerd to observe and to publish. */
export const catalog: Section = {
  name: "catalog",
  async run(): Promise<Findings> {
    const all: CatalogFigures[] = [];
    for (const entries of SIZES) all.push(await measureCatalog(entries));
    const [million, largest] = all as [CatalogFigures, CatalogFigures];
    const worst = (figure: "cpu" | "growth", { first, again }: CatalogFigures) =>
      Math.max(first[figure], again[figure]);
    return {
      tables: [
        {
          title: "The catalog in workerd: 50,000 observations of new resources",
          columns: ["entries afterwards", "ms", "CPU ms", "MB of tables"],
          rows: [
            [50_000, ...observed(million.firstObserved), ""],
            ...all.map(({ entries, lastObserved, tables }): Cell[] => [
              entries,
              ...observed(lastObserved),
              megabytes(tables),
            ]),
          ],
          note: "Sent over HTTP as JSON to a Worker that calls the object.",
        },
        {
          title: "The catalog in workerd: one alarm that publishes",
          columns: ["entries", "alarm", "s", "CPU s", "process grew by MB", "values written", "MB written"],
          rows: all.flatMap(({ entries, first, again }): Cell[][] => [
            [entries, "all of them new, 500 keys", ...published(first)],
            [entries, "the snapshot again", ...published(again)],
          ]),
          note:
            "CPU of all of workerd's threads. The process grew, at most and beyond what it was before the alarm: the " +
            "heap, buffers, and SQLite's pages. workerd on a machine enforces no 128 MB. KV takes neither time nor memory.",
        },
      ],
      targets: [
        {
          what: "publishing 10^6 entries, CPU",
          measured: worst("cpu", million) / 1000,
          atMost: MILLION_CPU_MAX_S,
          unit: " s",
        },
        {
          what: "publishing 4 x 10^6 entries, CPU",
          measured: worst("cpu", largest) / 1000,
          atMost: ALARM_CPU_MAX_S,
          unit: " s",
        },
        {
          what: "publishing 4 x 10^6 entries, growth of the process",
          measured: worst("growth", largest) / 1e6,
          atMost: OBJECT_MAX_MB,
          unit: " MB",
        },
      ],
    };
  },
};

function observed({ wall, cpu }: Cost): Cell[] {
  return [Math.round(wall), Math.round(cpu)];
}

function published({ wall, cpu, growth, values, bytes }: AlarmCost): Cell[] {
  return [rounded(wall / 1000), rounded(cpu / 1000), megabytes(growth), values, megabytes(bytes)];
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
