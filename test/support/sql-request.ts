/** A data point as it is stored. */
export interface StoredPoint {
  /** ms since the epoch. */
  timestamp: number;
  index: string;
  /** How many data points this one represents. */
  sampleInterval: number;
  blobs: string[];
  doubles: number[];
}

export interface SqlRequest {
  sql: string;
  points: StoredPoint[];
  /** ms since the epoch. */
  now: number;
}

export type Row = Record<string, string | number | null>;
