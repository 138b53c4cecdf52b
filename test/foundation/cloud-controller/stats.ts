/** Counts the requests since the start or the last `reset`. */
export class Stats {
  /** Number of requests by method and path: `POST /v3/packages/:guid/upload`. */
  requests: Record<string, number> = {};
  /** The same requests in their order, by `X-B3-TraceId`. "" has those without one. */
  traces: Record<string, string[]> = {};
  /** Resources in requests for matches that got a response. */
  resources = { requested: 0, matched: 0 };
  /** Number of resources in each of these requests. */
  resourcesPerRequest: number[] = [];

  countRequest(name: string, traceId: string): void {
    this.requests[name] = (this.requests[name] ?? 0) + 1;
    const trace = this.traces[traceId] ?? [];
    trace.push(name);
    this.traces[traceId] = trace;
  }

  countResources(requested: number, matched: number): void {
    this.resources.requested += requested;
    this.resources.matched += matched;
    this.resourcesPerRequest.push(requested);
  }

  reset(): void {
    this.requests = {};
    this.traces = {};
    this.resources = { requested: 0, matched: 0 };
    this.resourcesPerRequest = [];
  }
}
