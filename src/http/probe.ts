/** The header of a probe: a request of `resource-pool doctor`. It gets matches like a push, and changes nothing in the cache. */
export const PROBE_HEADER = "X-Resource-Matches-Probe";
