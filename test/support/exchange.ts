/** A request and its answer. */
export interface Exchange {
  method: string;
  path: string;
  /** The request's body, where whether it is valid matters. */
  sent?: string;
  status: number;
  headers: Record<string, string>;
  body: string;
}
