/** A fault that the tests inject into the KV namespace or the catalog. */
export interface Fault {
  kind: "fail" | "hang" | "slow" | "garbage";
  /** `get`, `put` and `delete` are KV's. `observe` is the catalog's, which can only fail. */
  operations: ("get" | "put" | "delete" | "observe")[];
  /** Limits the fault to values whose name has one of these prefixes. "" is bulk reads, which read resource keys. */
  prefixes?: string[];
  /** 2: every second operation. Default: 1. */
  every?: number;
  /** The delay of `slow`. */
  ms?: number;
}
