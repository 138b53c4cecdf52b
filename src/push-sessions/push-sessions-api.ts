import type { Decided, SessionState } from "./decisions.ts";

/** The state of a session before a request is decided. */
export interface Inspection {
  /** Whether the caller sent the same request in the last ten minutes. */
  retrySuspected: boolean;
  session: SessionState;
}

/** The methods of the object that other modules call. They are idempotent: a repeated call with the same `requestId` returns the same. */
export interface PushSessionsApi {
  /**
   * For a request of fewer than 5,000 resources. It is the last one of its app, so its decisions are not stored.
   *
   * @param pushId empty if the client does not identify its push
   */
  inspect(pushId: string, fingerprint: string, requestId: string): Promise<Inspection>;
  /**
   * Decides the contents of a request of 5,000 resources, and stores the decisions before it returns.
   *
   * @param contents 8 bytes each
   * @param found a mark for each
   * @param isVerified whether to decide even if a retry is suspected
   * @returns the decisions; or the earlier ones, if a retry is suspected and `found` is not verified
   */
  decide(
    pushId: string,
    fingerprint: string,
    requestId: string,
    contents: Uint8Array<ArrayBuffer>,
    found: Uint8Array,
    isVerified: boolean,
  ): Promise<Decided | Inspection>;
}
