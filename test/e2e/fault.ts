/** What goes wrong with the KV namespace. */
export interface CacheFault {
  kind: "fail" | "hang" | "slow" | "rubbish";
  operations: ("get" | "put" | "list" | "delete")[];
  /** Every how many of these operations; default: each. */
  every?: number;
  /** How slow. */
  ms?: number;
}
