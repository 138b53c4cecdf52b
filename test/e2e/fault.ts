/** What goes wrong with the KV namespace, for whoever uses it, or with a Durable Object. */
export interface Fault {
  kind: "fail" | "hang" | "slow" | "rubbish";
  /** Of KV; `observe` is the catalog's and `remember` the push session's, which can only fail. */
  operations: ("get" | "put" | "delete" | "observe" | "remember")[];
  /** Only of values whose name begins with one of these; "" stands for bulk reads, those of resources' keys. */
  names?: string[];
  /** Every how many of these operations; default: each. */
  every?: number;
  /** How slow. */
  ms?: number;
}
