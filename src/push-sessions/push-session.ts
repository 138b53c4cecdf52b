import { type Configuration, perConfiguration } from "../configuration.ts";
import { keepNewest } from "../keep-newest.ts";
import { causeOf } from "../observability/log.ts";
import { writePoint } from "../observability/metrics.ts";
import { inJurisdiction } from "../placement/placement.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";
import {
  type Batch,
  CONTENT_BYTES,
  type Decided,
  Decisions,
  NO_MATCH,
  NO_SESSION,
  type SessionRequest,
} from "./decisions.ts";
import { isExpired, type SessionTimes } from "./expiry.ts";
import type { Inspection, PushSessionsApi } from "./push-sessions-api.ts";

/** Sessions whose decisions an isolate keeps for the case that the object is unreachable. */
const KEPT_SESSIONS_MAX = 8;
/** Kept requests of a session, 45 KB each. */
const KEPT_BATCHES_MAX = 20;
const RETRY_DELAY_MS = 100;

type Reply = Decided | Inspection;

interface KeptSession extends SessionTimes {
  batches: (Batch & { isStored: boolean })[];
}

const keptSessionsOf = perConfiguration(() => new Map<string, KeptSession>());

/**
 * Whether this isolate has decided a request of a push, or has received decisions of other isolates for it.
 *
 * @param pushId empty if the client does not identify its push
 * @param caller undefined if the token was not verified
 */
export function hasDecisions(
  configuration: Configuration,
  pushId: string,
  caller: string | undefined,
): boolean {
  const isOfPush = (key: string) =>
    caller === undefined ? pushId !== "" && key.startsWith(`${pushId} `) : key === `${pushId} ${caller}`;
  return [...keptSessionsOf(configuration)].some(
    ([key, session]) => isOfPush(key) && !isExpired(session, Date.now()),
  );
}

/**
 * The session of the push that a request belongs to. A request without candidates does not call the object. Others call it once,
 * and again to decide 5,000 resources after a suspected retry was verified or the cached manifest expired. No method throws.
 */
export class PushSession {
  readonly contents: Uint8Array<ArrayBuffer>;
  /** Whether other requests of the app follow, which must agree with this one. */
  readonly #hasSuccessors: boolean;
  readonly #caller: string;
  readonly #ids: [pushId: string, fingerprint: string, requestId: string];
  /** The key of this session among those that the isolate keeps. */
  readonly #keptKey: string;
  readonly #context: RequestContext;
  readonly #inspection: Promise<Reply | undefined> | undefined;

  /**
   * Starts to inspect the session, unless the request has 5,000 resources.
   *
   * @param caller GUID of the user, or id of the client
   * @param pushId empty if the client does not identify its push
   */
  constructor(request: SessionRequest, caller: string, pushId: string, context: RequestContext) {
    this.contents = request.contents;
    this.#hasSuccessors = request.count === RESOURCES_PER_REQUEST_MAX;
    this.#caller = caller;
    this.#ids = [pushId, request.fingerprint, crypto.randomUUID()];
    this.#keptKey = `${pushId} ${caller}`;
    this.#context = context;
    if (this.#hasSuccessors || this.contents.length === 0) return;
    this.#inspection = this.#call("inspect", async (object) => object.inspect(...this.#ids));
  }

  /**
   * Decides the contents of the request. Decisions for 5,000 resources are stored before this returns.
   *
   * @param found a mark for each content
   * @param verify is called if a retry is suspected, and corrects `found`
   */
  async decide(found: Uint8Array, verify?: (earlier: Decisions) => Promise<void>): Promise<Decided> {
    if (this.contents.length === 0) return { decisions: new Uint8Array(), decidedEarlier: 0 };
    const reply = await (this.#hasSuccessors
      ? this.#callDecide(found, verify === undefined)
      : this.#inspection);
    if (reply && "decisions" in reply) return reply;
    const earlier = this.#earlierDecisions(reply);
    if (reply?.retrySuspected) await verify?.(earlier);
    const decided = this.#hasSuccessors && reply ? await this.#callDecide(found, true) : undefined;
    if (decided && "decisions" in decided) return decided;
    const own = earlier.resolve(this.contents, found, Date.now());
    if (this.#hasSuccessors) this.#keep(own.decisions, false);
    return own;
  }

  async #callDecide(found: Uint8Array, isVerified: boolean): Promise<Reply | undefined> {
    const { contents } = this;
    const batches = this.#unstoredBatches();
    const kept =
      batches.length > 0 ? new Decisions({ ...NO_SESSION, batches }).marksFor(contents) : undefined;
    const marks = kept ? found.map((mark, index) => (mark <= NO_MATCH && kept[index]) || mark) : found;
    const reply = await this.#call("decide", async (object) =>
      object.decide(...this.#ids, contents, marks, isVerified),
    );
    if (reply && "decisions" in reply) this.#keep(reply.decisions, true);
    return reply;
  }

  /**
   * Earlier decisions of the session: those that the object returned, and those of this isolate that the object has not stored.
   * Without a reply, all that the isolate keeps.
   */
  #earlierDecisions(inspection: Inspection | undefined): Decisions {
    if (!inspection) return new Decisions(this.#keptSession() ?? NO_SESSION);
    const { session } = inspection;
    return new Decisions({ ...session, batches: [...session.batches, ...this.#unstoredBatches()] });
  }

  /** Calls the object, and repeats the call until it succeeds or times out. */
  async #call(
    method: "inspect" | "decide",
    call: (object: PushSessionsApi) => Promise<Reply>,
  ): Promise<Reply | undefined> {
    const { configuration, log } = this.#context;
    const giveUpAt = Date.now() + TIMEOUT_MS.pushSessions;
    const attempt = async (): Promise<Reply> => {
      try {
        // A deployment resets the object: only a new stub reaches the next instance.
        const namespace = inJurisdiction(configuration.pushSessions, configuration.jurisdiction);
        const reply = await call(namespace.getByName(this.#caller));
        checkReply(reply, this.contents);
        const hasDecisions = "session" in reply && reply.session.batches.length > 0;
        // Only the fact is kept (R3.8): the next inspection returns the decisions again.
        if (hasDecisions && !this.#keptSession()) this.#keepBatches([]);
        return reply;
      } catch (error) {
        if (Date.now() >= giveUpAt) throw error;
        await scheduler.wait(RETRY_DELAY_MS);
        return attempt();
      }
    };
    try {
      return await withTimeout(TIMEOUT_MS.pushSessions, attempt());
    } catch (error) {
      const mayLoseFile = this.#hasSuccessors;
      log.warn("push-sessions-unreachable", { method, cause: causeOf(error), mayLoseFile });
      writePoint("push-sessions-unreachable", { may_lose_file: mayLoseFile ? 1 : 0 }, configuration, log);
      return undefined;
    }
  }

  /** The decisions of this isolate in other requests of the session. */
  #keptSession() {
    const kept = keptSessionsOf(this.#context.configuration).get(this.#keptKey);
    if (!kept || isExpired(kept, Date.now())) return undefined;
    return {
      ...NO_SESSION,
      ...kept,
      batches: kept.batches.filter((batch) => batch.contents !== this.contents),
    };
  }

  #unstoredBatches(): Batch[] {
    return this.#keptSession()?.batches.filter(({ isStored }) => !isStored) ?? [];
  }

  #keep(decisions: Uint8Array<ArrayBuffer>, isStored: boolean): void {
    const batch = { decidedAt: Date.now(), contents: this.contents, marks: decisions, isStored };
    this.#keepBatches([...(this.#keptSession()?.batches ?? []), batch].slice(-KEPT_BATCHES_MAX));
  }

  #keepBatches(batches: KeptSession["batches"]): void {
    const sessions = keptSessionsOf(this.#context.configuration);
    const [pushId] = this.#ids;
    const now = Date.now();
    const { firstAt = now } = this.#keptSession() ?? {};
    const session = { isIdentified: pushId !== "", firstAt, lastAt: now, batches };
    keepNewest(sessions, this.#keptKey, session, KEPT_SESSIONS_MAX);
  }
}

/** @throws if the reply has another form: during a deployment the object may run another version of the Worker */
function checkReply(reply: Reply, contents: Uint8Array): void {
  const batches = "decisions" in reply ? [{ contents, marks: reply.decisions }] : reply.session.batches;
  const isValid = batches.every(({ contents: each, marks }) => each.length === CONTENT_BYTES * marks.length);
  if (!isValid) throw new Error("the object runs another version of the Worker");
}
