/** What the Cloud Controller was asked, since it started or `reset`. */
export class Stats {
  /** How often, by method and path: `POST /v3/packages/:guid/upload`. */
  requests: Record<string, number> = {};
  /** The same requests in their order, by the `X-B3-TraceId` that they carried; "" where they had none. */
  traces: Record<string, string[]> = {};
  /** Resources in requests for matches that were answered. */
  resources = { requested: 0, matched: 0 };
  /** How many resources each of these requests asked for. */
  resourcesPerRequest: number[] = [];

  countRequest(name: string, traceId: string): void {
    this.requests[name] = (this.requests[name] ?? 0) + 1;
    const trace = this.traces[traceId] ?? [];
    trace.push(name);
    this.traces[traceId] = trace;
  }

  countResources(asked: number, matched: number): void {
    this.resources.requested += asked;
    this.resources.matched += matched;
    this.resourcesPerRequest.push(asked);
  }

  reset(): void {
    this.requests = {};
    this.traces = {};
    this.resources = { requested: 0, matched: 0 };
    this.resourcesPerRequest = [];
  }
}
