import { LONG_DEADLINE_MS } from "./limits.ts";
import { isMatchedMode } from "./platform/cloud-controller.ts";
import type { Resource } from "./platform/code-under-test.ts";
import type { AppPush, PushOutcome } from "./push-client.ts";
import type { RequestBody } from "./request-body.ts";
import { isPoolable } from "./resources.ts";
import type { RequestRecord } from "./session-model.ts";
import type { World } from "./world.ts";

/** A repeated request is a suspected retry for ten minutes, by the clock of the session object. */
const REPEATED_REQUEST_MS = 590_000;
/** The session object stores a request of fewer than 5,000 one second after its reply. Until then a crash loses it. */
const REQUEST_STORED_AFTER_MS = 2_000;

/** The result of pushing one app in one run of cf, without the files that are too small to match. */
export interface PushResult {
  /** `<push>.<run>`, followed by `/<app>` from the second app of a manifest on. */
  name: string;
  outcome: PushOutcome;
  /** The modes of the matched files, by path. */
  matched: Record<string, string>;
  uploaded: string[];
}

/** Checks whole pushes: the assembled package, and which pushes fail. */
export class PushChecker {
  readonly #world: World;
  readonly #pushes: AppPush[] = [];
  readonly results: PushResult[] = [];
  readonly counts = { pushes: 0, succeeded: 0, missedFile: 0, healed: 0, unreachable: 0 };

  constructor(world: World) {
    this.#world = world;
  }

  noteStart(push: AppPush): void {
    this.counts.pushes += 1;
    this.#pushes.push(push);
  }

  checkResult(push: AppPush, requests: readonly RequestBody[]): void {
    const { checker, pool } = this.#world;
    const { outcome = "error", name } = push;
    const files = requests.flatMap(({ resources }) => resources);
    this.results.push({
      name: name.slice("push ".length),
      outcome,
      matched: Object.fromEntries([...push.listed].map(([path, { mode }]) => [path, mode ?? ""])),
      uploaded: files
        .filter(({ checksum }) => pool.find(checksum.value) && !push.matched.has(checksum.value))
        .map(({ path }) => path ?? ""),
    });
    if (outcome === "success") this.counts.succeeded += 1;
    if (outcome === "file-missing") this.counts.missedFile += 1;
    if (push.requests.some(({ isUnreachable }) => isUnreachable)) this.counts.unreachable += 1;
    if (outcome === "mode-refused" && this.#isModeMatched(push)) {
      checker.violated(
        "stale match",
        `${name} matches a file with a mode that the Cloud Controller refuses (R1.8)`,
      );
    }
    if (outcome === "success") this.#checkPackage(push, files);
    const failed = this.#failedBefore(push);
    if (failed && outcome === "success") this.counts.healed += 1;
    if (failed && outcome === "file-missing") {
      checker.violated(
        "unhealed",
        `${name} fails like ${failed.name}, because of a file that was lost before`,
      );
    }
  }

  /** Whether the Worker itself has matched a file whose mode the Cloud Controller refuses. */
  #isModeMatched(push: AppPush): boolean {
    return [...push.listed].some(([path, resource]) => {
      // The path starts with the number of the request.
      const request = push.requests[Number.parseInt(path, 10)];
      return !isPoolable(resource) && request?.outcome === "matched";
    });
  }

  /** The package must have exactly the files of the app. */
  #checkPackage(push: AppPush, files: readonly Resource[]): void {
    for (const file of files) {
      const { checksum, path } = file;
      const listed = push.listed.get(path ?? "");
      const sha1 = checksum.value;
      if (listed ? listed.checksum.value === sha1 : !push.matched.has(sha1)) continue;
      if (this.#isDocumentedLoss(push, sha1) || this.#isFailOpenLoss(push, sha1)) continue;
      if (this.#isLossWithoutWorker(push, file)) continue;
      this.#world.checker.violated(
        "lost file",
        `${push.name} of ${push.run.push.caller} succeeds without ${path}, ${sha1.slice(0, 6)}`,
      );
    }
  }

  /**
   * The two documented limits. First, an isolate could not reach the session object and has logged that, and another
   * isolate has responded to another request with the file. Second, the pool lacked the file and the decision could
   * change: the session is unidentified, or an isolate decided without the object.
   */
  #isDocumentedLoss({ requests, startedAt, endedAt }: AppPush, sha1: string): boolean {
    const withFile = requests.filter(({ candidates }) => candidates.has(sha1));
    const unreachable = withFile.filter(({ isUnreachable }) => isUnreachable);
    const hasOtherIsolate = ({ isolate }: RequestRecord) =>
      withFile.some((other) => other.isolate !== isolate);
    if (unreachable.some(hasOtherIsolate)) return true;
    const mayChange =
      unreachable.length > 0 || requests.some(({ session }) => session.isIdentified !== "yes");
    return mayChange && this.#world.pool.wasEver(sha1, false, startedAt, endedAt);
  }

  /**
   * The documented limits of failing open: the Cloud Controller has responded to one request with the file, and another
   * isolate to another one; or the same isolate, and the push is not identified.
   */
  #isFailOpenLoss({ requests }: AppPush, sha1: string): boolean {
    const withFile = requests.filter(({ candidates }) => candidates.has(sha1));
    const decided = withFile.filter(({ outcome }) => outcome === "matched");
    return withFile
      .filter(({ outcome }) => outcome === "passed-through")
      .some(({ isolate, session }) =>
        decided.some((other) => other.isolate !== isolate || session.isIdentified !== "yes"),
      );
  }

  /**
   * Without a Worker a file can be lost as well: if its path has a mode that the Cloud Controller does not match, or if the
   * pool gets or loses it between two requests.
   */
  #isLossWithoutWorker({ requests, startedAt }: AppPush, { checksum, mode }: Resource): boolean {
    const { pool } = this.#world;
    const sha1 = checksum.value;
    const withFile = requests.filter(({ candidates }) => candidates.has(sha1));
    if (!withFile.every(({ outcome }) => outcome === "passed-through")) return false;
    const until = Math.max(...withFile.map(({ respondedAt = startedAt }) => respondedAt));
    const isChanged = [true, false].every((isPresent) => pool.wasEver(sha1, isPresent, startedAt, until));
    return isChanged || !isMatchedMode(mode);
  }

  /**
   * The failed push of the same app before this one, if this one must succeed: it repeats the requests within ten minutes,
   * the pool has lost no more files, and the Cloud Controller responds.
   */
  #failedBefore(push: AppPush): AppPush | undefined {
    const { pool, controller, settings } = this.#world;
    const { caller } = push.run.push;
    const app = JSON.stringify(push.app);
    const before = this.#pushes.findLast(
      (each) =>
        each.endedAt <= push.startedAt && each.run.push.caller === caller && JSON.stringify(each.app) === app,
    );
    if (before?.outcome !== "file-missing" || pool.lostAt >= push.run.startedAt) return undefined;

    const isEachRepeated = push.requests.every(({ startedAt }, index) => {
      const earlier = before.requests[index];
      if (!earlier) return false;
      const { respondedAt = Infinity, isFull, isUnreachable, outcome } = earlier;
      const isStored =
        isFull ||
        !this.#world.hasSessionCrashed(caller, earlier.startedAt, respondedAt + REQUEST_STORED_AFTER_MS);
      return (
        startedAt - earlier.startedAt < REPEATED_REQUEST_MS &&
        isStored &&
        !isUnreachable &&
        outcome === "matched"
      );
    });
    const isEachReached = push.requests.every(
      ({ isUnreachable, wasFrozen, outcome }) => !isUnreachable && !wasFrozen && outcome === "matched",
    );
    const isControllerHealthy =
      settings.hasCloudController &&
      Number(settings.variables.LOOKUP_DEADLINE_MS ?? LONG_DEADLINE_MS) >= LONG_DEADLINE_MS &&
      controller.isHealthy(push.startedAt, push.endedAt) &&
      !push.requests.some(({ requestId }) => controller.faultsByRequest.has(requestId));
    return isEachRepeated && isEachReached && isControllerHealthy ? before : undefined;
  }

  /** After all apps were pushed again, the catalog must have no pushed file that the pool lacks. */
  checkCatalog(resources: readonly string[]): void {
    const { settings, pool, checker } = this.#world;
    const numbers = (settings.apps ?? [])
      .flat(2)
      .filter(([, mode]) => isPoolable({ mode } as Resource))
      .map(([number]) => number);
    const pushed = new Set(numbers.map((number) => pool.files[number]?.sha1));
    for (const key of resources) {
      const sha1 = key.slice(0, 40);
      if (!pushed.has(sha1) || pool.has(sha1)) continue;
      checker.violated(
        "unhealed",
        `the catalog has ${sha1.slice(0, 6)}, which the pool lacks, although it was pushed again`,
      );
    }
  }

  /** A push without faults must succeed in its last run. */
  checkFinalOutcome(push: number, outcome: PushOutcome): void {
    if (outcome === "success") return;
    this.#world.checker.violated("unhealed", `push ${push} fails in all runs: ${outcome}`);
  }
}
