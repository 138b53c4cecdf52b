/** A request and its response. */
export interface Exchange {
  method: string;
  path: string;
  /** Whether the response is the Cloud Controller's, relayed unchanged. */
  isRelayed?: boolean;
  /** The request's body, if it is to be checked too. */
  sent?: string;
  status: number;
  headers: Record<string, string>;
  body: string;
}
