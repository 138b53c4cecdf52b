import type { PoolFile } from "./pool.ts";
import type { World } from "./world.ts";

/** By which the operator's calls are known. */
export const OPERATOR = "operator's ";
const TRIES = 5;
const TRY_AGAIN_MS = 20_000;

interface Telling {
  present?: readonly string[];
  removed?: readonly string[];
  /** By the Worker's clock; else it counts back. */
  asOf?: number | undefined;
}

/** The Worker's time that the command was given before it looks is so old. */
const GIVEN_MAX_MS = 2_000;

/**
 * The operator's command, on a laptop whose clock is wrong and who sleeps between looking and telling. What is held is
 * told as of a time that the Worker gave before the command looked: with "so long ago", what a request spends under way,
 * or in a frozen isolate, would make it younger than it is. Of what was removed that does no harm: there the command
 * says how long ago, and the Worker counts back from its own clock.
 */
export class Operator {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Looks which of the files are held, and tells of these. */
  add(files: readonly PoolFile[], tellsAfter: number, clock: number): void {
    const { pool } = this.#world;
    const present = files.filter(({ sha1 }) => pool.has(sha1)).map(keyOf);
    if (present.length > 0) this.#tellLater({ present }, tellsAfter, clock);
  }

  /** Deletes the files from the pool, and tells so. */
  remove(files: readonly PoolFile[], tellsAfter: number, clock: number): void {
    for (const file of files) this.#world.change(file, false);
    this.#tellLater({ removed: files.map(({ sha1 }) => sha1) }, tellsAfter, clock);
  }

  /** Tells of everything that the pool holds; where wanted, also of what only the catalog knows. */
  sync(tellsAfter: number, clock: number, prunes: boolean): void {
    const { pool } = this.#world;
    const listed = pool.listed();
    const known = new Set(listed.map(({ sha1 }) => sha1));
    const lookedAt = this.#world.kernel.now;
    this.#tellLater({ present: listed.map(keyOf) }, tellsAfter, clock);
    if (!prunes) return;
    this.#world.kernel.after(tellsAfter, () =>
      this.#world.call(
        0,
        "page",
        () => [undefined],
        (outcome) => {
          if (!("value" in outcome)) return;
          const { resources } = outcome.value as { resources: string[] };
          const removed = resources.map((key) => key.slice(0, 40)).filter((sha1) => !known.has(sha1));
          if (removed.length > 0) this.#tell({ removed, asOf: lookedAt }, lookedAt, clock, TRIES);
        },
      ),
    );
  }

  #tellLater(telling: Telling, ms: number, clock: number): void {
    const { kernel } = this.#world;
    const lookedAt = kernel.now;
    if (telling.present)
      this.#world.call(
        0,
        "status",
        () => [],
        () => {},
      );
    const givenAt = lookedAt - kernel.random.fork(`given ${lookedAt}`).integer(0, GIVEN_MAX_MS);
    kernel.after(ms, () =>
      this.#tell({ ...telling, asOf: telling.present && givenAt }, lookedAt, clock, TRIES),
    );
  }

  #tell({ asOf, present, removed }: Telling, lookedAt: number, clock: number, tries: number): void {
    const { kernel } = this.#world;
    const random = kernel.random.fork(`operator ${kernel.now}`);
    // Both by the laptop's wrong clock: what is wrong with it drops out.
    const age = kernel.now + clock - (lookedAt + clock);
    const place = random.integer(0, this.#world.settings.places - 1);
    let isAnswered = false;
    const tryAgain = () => {
      isAnswered = true;
      if (tries > 1) {
        kernel.after(TRY_AGAIN_MS, () =>
          this.#tell({ asOf, present, removed } as Telling, lookedAt, clock, tries - 1),
        );
      }
    };
    kernel.after(random.integer(10, 5_000), () =>
      this.#world.call(
        place,
        "observe",
        (now) => [
          {
            asOf: asOf ?? now - age,
            ...(present ? { present } : {}),
            ...(removed ? { removed } : {}),
            sizes: "verified",
          },
        ],
        (outcome) => {
          if (isAnswered) return;
          isAnswered = true;
          if ("error" in outcome) tryAgain();
        },
      ),
    );
    // An isolate that died never answers.
    kernel.after(TRY_AGAIN_MS, () => {
      if (!isAnswered) tryAgain();
    });
  }
}

export function keyOf({ sha1, size }: PoolFile): string {
  return `${sha1}:${size}`;
}
