import type { Cell } from "../../support/table.ts";

export type { Cell };

/** A part of the benchmark that can be run by itself. */
export interface Section {
  name: string;
  run(): Promise<Findings>;
}

export interface Findings {
  tables: Table[];
  targets: Target[];
  charts?: Chart[];
}

export interface Table {
  title: string;
  columns: string[];
  rows: Cell[][];
  /** What must be known to read it. */
  note?: string;
}

/** A figure that must not be exceeded. */
export interface Target {
  what: string;
  measured: number;
  atMost: number;
  /** Put behind figures: " ms", "x". */
  unit: string;
}

export interface Chart {
  /** Of the file, without suffix. */
  name: string;
  title: string;
  unit: string;
  series: string[];
  /** In each, a value for every series. */
  groups: { label: string; values: number[] }[];
  /** Drawn as a line. */
  target?: number;
}

export function isMet({ measured, atMost }: Target): boolean {
  return measured <= atMost;
}
