/** How much of a request one tier resolved. */
export interface Tally {
  /** Snapshot and delta count resources, keys and the Cloud Controller distinct keys. */
  requested: number;
  matched: number;
  /** How long the request waited for the tier. */
  ms: number;
}

/** Why a response may lack resources that are in the pool. */
export interface Fault {
  /** For the user who pushes. */
  warning: string;
  /** For the log. */
  details: {
    tier: string;
    /** Keys, or resources of the manifest, for which the tier has no result. */
    unread: number;
    causes: string[];
  };
}
