/** A request and its answer. */
export interface Exchange {
  method: string;
  path: string;
  /** Whether the answer is another's, which the Worker hands on as it came. */
  isRelayed?: boolean;
  /** The request's body, where whether it is valid matters. */
  sent?: string;
  status: number;
  headers: Record<string, string>;
  body: string;
}
