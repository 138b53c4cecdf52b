import type { CacheStatus, ObservationsResult } from "../operator-api/responses.ts";
import type { ResourceKey } from "../resources/resource-key.ts";
import type { Observations } from "./observations.ts";

/** The methods of the catalog that other modules call. A method may run although its caller got an error. */
export interface CatalogApi {
  /** @throws RangeError for more than 50,000 observations */
  observe(observations: Observations): Promise<ObservationsResult>;
  reportRejections(rejections: Rejections): Promise<void>;
  status(): Promise<CatalogStatus>;
  /** @param after the last SHA-1 of the previous page, in lower-case hex */
  page(after?: string): Promise<CatalogPage>;
  /** Publishes a new snapshot and rewrites all keys. */
  publish(): Promise<void>;
  /** Removes everything, and refuses observations from before. */
  forget(): Promise<void>;
}

/** The result of a verification of the cache's matches by the Cloud Controller. */
export interface Rejections {
  /** The moment before the Cloud Controller was called; ms since the epoch, by Cloudflare's clock. */
  asOf: number;
  /** How many matches it verified, including those that it rejected. */
  verified: number;
  /** SHA-1s in lower-case hex. */
  rejected: readonly string[];
}

/** Resources of the catalog in the order of their SHA-1s. */
export interface CatalogPage {
  resources: ResourceKey[];
  /** The parameter for the next page; absent on the last one. */
  after?: string;
}

/** The part of the status that the catalog has. */
export type CatalogStatus = Omit<CacheStatus, "version" | "time" | "last_hour" | "checks" | "configuration">;
