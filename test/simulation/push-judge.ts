import type { Violation } from "./judge.ts";
import type { Resource } from "./platform/code-under-test.ts";
import { isPoolable, type Try } from "./push-client.ts";
import { clock } from "./schedule.ts";
import type { World } from "./world.ts";

/** The memory knows a question for ten minutes, by its own clock. */
const QUESTION_REMEMBERED_MS = 590_000;
/** A push whose end nobody has seen counts as one that is running, for a minute after its last request was answered. */
const RUNNING_MAX_MS = 150_000;
const QUIET_MAX_MS = 300_000;
/** The minute in which a push counts as running, and what its last answer may have taken. */
const OTHER_RUNNING_MAX_MS = 75_000;
/** Up to this deadline a well Cloud Controller may take longer than what a verification waits for. */
const VERIFIED_DEADLINE_MIN_MS = 8_000;
/** What the Cloud Controller has matched for a push, later requests of the caller may claim for so long. */
const TOLD_MAX_MS = 7 * 60_000;

/** What has become of a try of a push; of the files too small to match, nothing. */
export interface Ended {
  /** `<push>.<try>` */
  name: string;
  ending: Try["ending"];
  /** Paths with the modes that are claimed. */
  claimed: Record<string, string>;
  uploaded: string[];
}

/** Judges whole pushes: what was assembled, and which pushes have failed. */
export class PushJudge {
  readonly #world: World;
  readonly #tries: Try[] = [];
  readonly endings: Ended[] = [];
  readonly counts = { pushes: 0, well: 0, gone: 0, tries: 0, healed: 0 };

  constructor(world: World) {
    this.#world = world;
  }

  began(running: Try): void {
    this.counts.tries += 1;
    this.#tries.push(running);
  }

  ended(ended: Try, requests: readonly Resource[][]): void {
    const { judge } = this.#world;
    const { ending, push, number } = ended;
    this.#list(ended, requests.flat());
    if (number === 1) this.counts.pushes += 1;
    if (ending === "well") this.counts.well += 1;
    if (ending === "gone") this.counts.gone += 1;
    if (ending === "refused mode") {
      judge.violated("wrong yes", `push ${push.push} claims a mode that the Cloud Controller refuses`);
    }
    if (ending === "well") this.#compare(ended, requests.flat());
    const before = this.#brokenBefore(ended);
    if (before && ending === "well") this.counts.healed += 1;
    if (before && ending === "gone") {
      judge.violated(
        "unhealed",
        `push ${push.push}.${number} fails as push ${before.push.push}.${before.number} did, over a file that was gone then`,
      );
    }
  }

  #list({ push, number, ending, claims, matched }: Try, files: readonly Resource[]): void {
    const pooled = files.filter(({ mode }) => mode !== undefined);
    this.endings.push({
      name: `${push.push}.${number}`,
      ending,
      claimed: Object.fromEntries([...claims].map(([path, { mode }]) => [path, mode ?? ""])),
      uploaded: pooled.filter(({ checksum }) => !matched.has(checksum.value)).map(({ path }) => path ?? ""),
    });
  }

  /** What was assembled is what lies in the directory. */
  #compare({ push, number, matched, claims }: Try, files: readonly Resource[]): void {
    for (const { checksum, path } of files) {
      const claim = claims.get(path ?? "");
      if (claim ? claim.checksum.value === checksum.value : !matched.has(checksum.value)) continue;
      this.#world.judge.violated(
        "lost file",
        `push ${push.push}.${number} of ${push.caller} ends well and lacks ${path}, ${checksum.value.slice(0, 6)}`,
      );
    }
  }

  /**
   * The try before this one, where this one must not fail over what was gone then: it comes within ten minutes, of the same
   * caller, the pool has lost nothing since that began, and the Cloud Controller is well. The memory must know that no
   * push of the caller's is running, or two and a half minutes pass: it knows where none ran beside another within the
   * last minutes, where the end of each was seen, and where it has not begun again since.
   */
  #brokenBefore(again: Try): Try | undefined {
    const { pool, controller, settings } = this.#world;
    const { caller, app } = again.push;
    const others = this.#tries.filter((each) => each !== again && each.push.caller === caller);
    const before = others.findLast(({ endedAt, push }) => endedAt <= again.startedAt && push.app === app);
    if (before?.ending !== "gone" || pool.lostAt >= before.startedAt) return undefined;

    const recent = others.filter(({ endedAt }) => endedAt > before.startedAt - QUIET_MAX_MS);
    const isAlone = [...recent, again].every((one) => !recent.some((other) => areBeside(one, other)));
    const isOver =
      recent.every((each) => this.#isEndSeen(each)) && !this.#world.hasMemoryEnded(caller, before.startedAt);
    const pause = again.startedAt - (before.askedAt.at(-1) ?? -Infinity);
    const isRemembered = again.askedAt.every(
      (time, request) => time - (before.askedAt[request] ?? -Infinity) < QUESTION_REMEMBERED_MS,
    );
    const isWell =
      controller.isWell(again.startedAt, again.endedAt) &&
      !again.requestIds.some((id) => controller.befallen.has(id));
    const isPatient = Number(settings.variables.LOOKUP_DEADLINE_MS ?? 8_000) >= VERIFIED_DEADLINE_MIN_MS;
    // What another app's push was told within the last minute stands, for that may still be running.
    const isQuiet = others.every(
      ({ push, askedAt }) =>
        push.app === app || again.startedAt - (askedAt.at(-1) ?? -Infinity) > OTHER_RUNNING_MAX_MS,
    );
    const isPromised =
      isAlone && isQuiet && (isOver || pause > RUNNING_MAX_MS) && isRemembered && isWell && isPatient;
    return isPromised ? before : undefined;
  }

  /** A push whose last request is one of 5,000, that was cut off, or that asks one question twice, seems to be running. */
  #isEndSeen({ push, ending }: Try): boolean {
    const app = this.#world.settings.apps?.[push.app] ?? [];
    const requests = app.map((files) => JSON.stringify(files.map(([file]) => file)));
    const isWhole = requests.at(-1) === "[]";
    const isCutOff = ending === "error" || ending === "no answer";
    return !isWhole && !isCutOff && new Set(requests).size === requests.length;
  }

  /** Whether the Cloud Controller has matched a file for a request of the caller's that may bind this one. */
  wasMatched(caller: string, sha1: string): boolean {
    const { controller, kernel } = this.#world;
    return this.#tries.some(
      ({ push, requestIds, endedAt }) =>
        push.caller === caller &&
        kernel.now - Math.min(endedAt, kernel.now) < TOLD_MAX_MS &&
        requestIds.some((id) => controller.matched.get(id)?.has(sha1)),
    );
  }

  /** Everything has been pushed again since the pool has lost files: what is cached of it, the pool has. */
  contradicted(resources: readonly string[]): void {
    const { settings, pool, judge } = this.#world;
    const numbers = (settings.apps ?? [])
      .flat(2)
      .filter(([, mode]) => isPoolable({ mode } as Resource))
      .map(([number]) => number);
    const pushed = new Set([...numbers].map((number) => pool.files[number]?.sha1));
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
  stuck({ push, ending }: Try): void {
    if (ending === "well") return;
    const at = clock(this.#world.kernel.now - this.#world.start);
    const rule: Violation["rule"] = "unhealed";
    this.#world.judge.violated(rule, `at ${at} push ${push.push} has failed in all tries: ${ending}`);
  }
}

function areBeside(one: Try, other: Try): boolean {
  return one !== other && one.startedAt < other.endedAt && other.startedAt < one.endedAt;
}
