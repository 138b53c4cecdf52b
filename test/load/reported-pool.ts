/** R1.1: a change is visible in every response after this time. */
export const PROPAGATION_MS = 180_000;

/** One report of a resource. Times are in ms since the epoch. */
interface Report {
  /** When the request was sent, and when its response arrived: the report took effect between the two. */
  from: number;
  to: number;
  isPresent: boolean;
}

/** The operator's reports, and what responses may contain because of them. */
export class ReportedPool {
  readonly #reports: Report[][];

  /** @param count the number of resources; none is reported yet */
  constructor(count: number) {
    this.#reports = Array.from({ length: count }, () => []);
  }

  /** Reports of one resource must not overlap. */
  report(index: number, report: Report): void {
    this.#reports[index]?.push(report);
  }

  /** Forgets all reports of a resource but the last, and treats that as if it had always been true. */
  forgetEarlierReports(index: number): void {
    const last = this.#reports[index]?.at(-1);
    const always = Number.NEGATIVE_INFINITY;
    if (last) this.#reports[index] = [{ from: always, to: always, isPresent: last.isPresent }];
  }

  isPresent(index: number): boolean {
    return this.#reports[index]?.at(-1)?.isPresent ?? false;
  }

  /** Whether the resource may have been present at any moment between the two. */
  mayHaveBeenPresent(index: number, from: number, to: number): boolean {
    const reports = this.#reports[index] ?? [];
    return reports.some((report, at) => {
      const endsBy = reports[at + 1]?.to ?? Number.POSITIVE_INFINITY;
      return report.isPresent && report.from <= to && endsBy >= from;
    });
  }

  /** Whether the resource was present at every moment between the two. */
  wasPresent(index: number, from: number, to: number): boolean {
    const reports = this.#reports[index] ?? [];
    return reports.some((report, at) => {
      const endsFrom = reports[at + 1]?.from ?? Number.POSITIVE_INFINITY;
      return report.isPresent && report.to <= from && endsFrom >= to;
    });
  }

  /** The time since a resource was removed; undefined if it is present or was never reported. */
  removedForMs(index: number, now: number): number | undefined {
    const last = this.#reports[index]?.at(-1);
    return last && !last.isPresent ? now - last.to : undefined;
  }
}
