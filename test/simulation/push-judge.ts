import { PATIENT_DEADLINE_MS } from "./limits.ts";
import type { Resource } from "./platform/code-under-test.ts";
import type { AppPush, Ending } from "./push-client.ts";
import type { RequestBody } from "./request-body.ts";
import { isPoolable } from "./resources.ts";
import type { Asked } from "./sessions.ts";
import type { World } from "./world.ts";

/** A request is known for ten minutes, by the clock of the session object. */
const REQUEST_REMEMBERED_MS = 590_000;
/** The request of fewer than 5,000 is written a second after its answer: until then a reset may forget it. */
const WRITTEN_WITHIN_MS = 2_000;

/** What has become of an app in one run of cf; of the files too small to match, nothing. */
export interface Ended {
  /** `<push>.<run>`, and `/<app>` from the second app of a manifest on. */
  name: string;
  ending: Ending;
  /** Paths with the modes that are matched. */
  matched: Record<string, string>;
  uploaded: string[];
}

/** Judges whole pushes: what was assembled, and which pushes have failed. */
export class PushJudge {
  readonly #world: World;
  readonly #pushes: AppPush[] = [];
  readonly endings: Ended[] = [];
  readonly counts = { pushes: 0, well: 0, gone: 0, healed: 0, unreachable: 0 };

  constructor(world: World) {
    this.#world = world;
  }

  began(pushed: AppPush): void {
    this.counts.pushes += 1;
    this.#pushes.push(pushed);
  }

  ended(pushed: AppPush, requests: readonly RequestBody[]): void {
    const { judge } = this.#world;
    const { ending = "error", name } = pushed;
    const files = requests.flatMap(({ resources }) => resources);
    this.endings.push({
      name: name.slice("push ".length),
      ending,
      matched: Object.fromEntries([...pushed.listed].map(([path, { mode }]) => [path, mode ?? ""])),
      uploaded: files
        .filter(
          ({ checksum }) => this.#world.pool.find(checksum.value) && !pushed.matched.has(checksum.value),
        )
        .map(({ path }) => path ?? ""),
    });
    if (ending === "well") this.counts.well += 1;
    if (ending === "gone") this.counts.gone += 1;
    if (pushed.asked.some(({ isUnreachable }) => isUnreachable)) this.counts.unreachable += 1;
    if (ending === "refused mode") {
      judge.violated("stale match", `${name} takes a file of a mode that the Cloud Controller refuses`);
    }
    if (ending === "well") this.#compare(pushed, files);
    const before = this.#failedBefore(pushed);
    if (before && ending === "well") this.counts.healed += 1;
    if (before && ending === "gone") {
      judge.violated("unhealed", `${name} fails as ${before.name} did, over a file that was gone before`);
    }
  }

  /** What was assembled is what lies in the directory. */
  #compare(pushed: AppPush, files: readonly Resource[]): void {
    for (const { checksum, path } of files) {
      const listed = pushed.listed.get(path ?? "");
      const sha1 = checksum.value;
      if (listed ? listed.checksum.value === sha1 : !pushed.matched.has(sha1)) continue;
      if (this.#isDocumentedLoss(pushed, sha1)) continue;
      this.#world.judge.violated(
        "lost file",
        `${pushed.name} of ${pushed.run.push.caller} ends well and lacks ${path}, ${sha1.slice(0, 6)}`,
      );
    }
  }

  /**
   * The two documented limits. One isolate could not reach the session object for a request about the file, which the log
   * says, and another isolate has answered another request. Or the decision may have changed, since the pool lacked the
   * file: because the client sends no id that can be trusted, or because an isolate had made it without the object.
   */
  #isDocumentedLoss({ asked, startedAt, endedAt }: AppPush, sha1: string): boolean {
    const about = asked.filter(({ candidates }) => candidates.has(sha1));
    const unreachable = about.filter(({ isUnreachable }) => isUnreachable);
    const isElsewhere = ({ isolate }: Asked) => about.some((other) => other.isolate !== isolate);
    if (unreachable.some(isElsewhere)) return true;
    const mayChange = unreachable.length > 0 || asked.some(({ session }) => session.isIdentified !== "yes");
    return mayChange && this.#world.pool.wasEver(sha1, false, startedAt, endedAt);
  }

  /**
   * The push before this one, where this one must not fail over what was gone when it began: it asks the same within ten
   * minutes, and the Cloud Controller answers.
   */
  #failedBefore(again: AppPush): AppPush | undefined {
    const { pool, controller, settings } = this.#world;
    const { caller } = again.run.push;
    const app = JSON.stringify(again.app);
    const before = this.#pushes.findLast(
      (each) =>
        each.endedAt <= again.startedAt &&
        each.run.push.caller === caller &&
        JSON.stringify(each.app) === app,
    );
    if (before?.ending !== "gone" || pool.lostAt >= again.run.startedAt) return undefined;

    const isKnown = again.asked.every(({ startedAt }, request) => {
      const earlier = before.asked[request];
      if (!earlier) return false;
      const { answeredAt = Infinity, isFull, isUnreachable } = earlier;
      const isWritten =
        isFull || !this.#world.hasSessionCrashed(caller, earlier.startedAt, answeredAt + WRITTEN_WITHIN_MS);
      return startedAt - earlier.startedAt < REQUEST_REMEMBERED_MS && isWritten && !isUnreachable;
    });
    const isReached = again.asked.every(({ isUnreachable, wasFrozen }) => !isUnreachable && !wasFrozen);
    const isWell =
      settings.hasCloudController &&
      Number(settings.variables.LOOKUP_DEADLINE_MS ?? PATIENT_DEADLINE_MS) >= PATIENT_DEADLINE_MS &&
      controller.isWell(again.startedAt, again.endedAt) &&
      !again.asked.some(({ requestId }) => controller.befallen.has(requestId));
    return isKnown && isReached && isWell ? before : undefined;
  }

  /** Everything has been pushed again since the pool has lost files: what is cached of it, the pool has. */
  contradicted(resources: readonly string[]): void {
    const { settings, pool, judge } = this.#world;
    const numbers = (settings.apps ?? [])
      .flat(2)
      .filter(([, mode]) => isPoolable({ mode } as Resource))
      .map(([number]) => number);
    const pushed = new Set(numbers.map((number) => pool.files[number]?.sha1));
    for (const key of resources) {
      const sha1 = key.slice(0, 40);
      if (!pushed.has(sha1) || pool.has(sha1)) continue;
      judge.violated(
        "unhealed",
        `the catalog holds ${sha1.slice(0, 6)}, which the pool lacks, after it was pushed`,
      );
    }
  }

  /** Somebody has pushed in a well world, and failed in the end. */
  stuck(push: number, ending: Ending): void {
    if (ending === "well") return;
    this.#world.judge.violated("unhealed", `push ${push} has failed in all runs: ${ending}`);
  }
}
