import type { Cell } from "../../support/table.ts";

export type { Cell };

/** A part of the benchmark that can run alone. */
export interface Section {
  name: string;
  run(): Promise<Findings>;
}

export interface Findings {
  tables: Table[];
  targets: Target[];
  charts?: Chart[];
  waterfalls?: Waterfall[];
}

export interface Table {
  title: string;
  columns: string[];
  rows: Cell[][];
  /** Explains the table. */
  note?: string;
}

/** A figure and its maximum. */
export interface Target {
  what: string;
  measured: number;
  atMost: number;
  /** Suffix of the figures: " ms", "x". */
  unit: string;
}

export interface Chart {
  /** Name of the file, without suffix. */
  name: string;
  title: string;
  unit: string;
  series: string[];
  /** Each group has a value for every series. */
  groups: { label: string; values: number[] }[];
  /** Drawn as a line. */
  target?: number;
}

/** A call that leaves the isolate, in ms since the request. */
export interface Call {
  name: string;
  start: number;
  end: number;
}

/** The calls of a request until its response. */
export interface Waterfall {
  /** Name of the file, without suffix. */
  name: string;
  title: string;
  totalMs: number;
  calls: Call[];
}

export function isMet({ measured, atMost }: Target): boolean {
  return measured <= atMost;
}
