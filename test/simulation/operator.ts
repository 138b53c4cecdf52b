import type { PoolFile } from "./pool.ts";
import type { World } from "./world.ts";

/** The names of the operator's calls start with this. */
export const OPERATOR = "operator's ";
const ATTEMPTS_MAX = 5;
const RETRY_AFTER_MS = 20_000;
/** The age of the Worker's time when the command starts to look at the pool. */
const WORKER_TIME_AGE_MAX_MS = 2_000;

interface Report {
  present?: readonly string[];
  removed?: readonly string[];
  /** By the Worker's clock; undefined: the Worker subtracts the age of the observation from its own time. */
  asOf?: number | undefined;
  /** By the laptop's clock. */
  observedAt: number;
  clockErrorMs: number;
}

/**
 * The operator's command on a laptop with a wrong clock, which can pause between observing the pool and reporting.
 * Present files are reported as of a time that the Worker returned before the command looked at the pool. An age would
 * be too small by the duration of the request, or of a freeze of the isolate. That does no harm for removed files: for
 * these the command sends the age of the observation.
 */
export class Operator {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Reports those of the files that are present. */
  add(files: readonly PoolFile[], reportDelayMs: number, clockErrorMs: number): void {
    const { pool } = this.#world;
    const present = files.filter(({ sha1 }) => pool.has(sha1)).map(keyOf);
    if (present.length > 0) this.#reportPresent(present, reportDelayMs, clockErrorMs);
  }

  /** Deletes the files from the pool, and reports that. */
  remove(files: readonly PoolFile[], reportDelayMs: number, clockErrorMs: number): void {
    const { kernel } = this.#world;
    for (const file of files) this.#world.change(file, false);
    const report = { removed: files.map(({ sha1 }) => sha1), observedAt: kernel.now, clockErrorMs };
    kernel.after(reportDelayMs, () => this.#report(report));
  }

  /** Reports all files of the pool; with `prune` also the removal of everything else in the catalog. */
  sync(reportDelayMs: number, clockErrorMs: number, prune: boolean): void {
    const { pool, kernel } = this.#world;
    const listed = pool.listed();
    const sha1s = new Set(listed.map(({ sha1 }) => sha1));
    const observedAt = kernel.now;
    this.#reportPresent(listed.map(keyOf), reportDelayMs, clockErrorMs);
    if (!prune) return;
    kernel.after(reportDelayMs, () =>
      this.#world.call(0, "page", [undefined], (result) => {
        if (!("value" in result)) return;
        const { resources } = result.value as { resources: string[] };
        const removed = resources.map((key) => key.slice(0, 40)).filter((sha1) => !sha1s.has(sha1));
        if (removed.length > 0) this.#report({ removed, asOf: observedAt, observedAt, clockErrorMs });
      }),
    );
  }

  #reportPresent(present: readonly string[], reportDelayMs: number, clockErrorMs: number): void {
    const { kernel } = this.#world;
    const observedAt = kernel.now;
    this.#world.call(0, "status", []);
    const ageMs = kernel.random.fork(`worker time ${observedAt}`).integer(0, WORKER_TIME_AGE_MAX_MS);
    const report = { present, asOf: observedAt - ageMs, observedAt, clockErrorMs };
    kernel.after(reportDelayMs, () => this.#report(report));
  }

  #report(report: Report, attempts = ATTEMPTS_MAX): void {
    const { kernel } = this.#world;
    const { asOf, present, removed, observedAt, clockErrorMs } = report;
    const random = kernel.random.fork(`operator ${kernel.now}`);
    // The error of the laptop's clock cancels out.
    const ageMs = kernel.now + clockErrorMs - (observedAt + clockErrorMs);
    const place = random.integer(0, this.#world.settings.places - 1);
    let isDone = false;
    const retry = () => {
      isDone = true;
      if (attempts > 1) kernel.after(RETRY_AFTER_MS, () => this.#report(report, attempts - 1));
    };
    kernel.after(random.integer(10, 5_000), () =>
      this.#world.call(
        place,
        "observe",
        (now) => [
          {
            asOf: asOf ?? now - ageMs,
            ...(present ? { present } : {}),
            ...(removed ? { removed } : {}),
            sizes: "verified",
          },
        ],
        (result) => {
          if (isDone) return;
          isDone = true;
          if ("error" in result) retry();
        },
      ),
    );
    // An isolate that has died never responds.
    kernel.after(RETRY_AFTER_MS, () => {
      if (!isDone) retry();
    });
  }
}

export function keyOf({ sha1, size }: PoolFile): string {
  return `${sha1}:${size}`;
}
