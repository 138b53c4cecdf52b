import type { Configuration } from "../configuration.ts";
import { causeOf } from "../observability/log.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { TIMEOUT_MS, withTimeout } from "../time/timeouts.ts";
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
import type { Inspection, PushSessions } from "./push-sessions.ts";

/** An isolate keeps its own decisions, for when the object can't be reached: those of its last sessions. */
const KEPT_SESSIONS_MAX = 8;
/** Requests whose decisions are kept of each session, 45 KB a request. */
const KEPT_BATCHES_MAX = 20;
const RETRY_DELAY_MS = 100;

type Reply = Decided | Inspection;

interface KeptSession extends SessionTimes {
  batches: (Batch & { isStored: boolean })[];
}

/** Kept as long as the configuration: as the isolate. */
const keptBy = new WeakMap<Configuration, Map<string, KeptSession>>();

/**
 * The session of the push that a request belongs to: one call of its object for the whole request, or none if the request has no
 * candidate. Nothing here throws.
 */
export class PushSession {
  readonly contents: Uint8Array<ArrayBuffer>;
  readonly #fingerprint: string;
  /** Whether other requests of the app follow, which must agree with this one. */
  readonly #hasSuccessors: boolean;
  readonly #caller: string;
  readonly #pushId: string;
  readonly #requestId = crypto.randomUUID();
  /** Of the session, among those that the isolate keeps. */
  readonly #keptName: string;
  readonly #context: RequestContext;
  readonly #inspection: Promise<Reply | undefined> | undefined;

  /**
   * Starts to inspect the session, unless the request is one of 5,000.
   *
   * @param caller GUID of the user, or id of the client
   * @param pushId empty if the client does not identify its push
   */
  constructor(request: SessionRequest, caller: string, pushId: string, context: RequestContext) {
    this.contents = request.contents;
    this.#fingerprint = request.fingerprint;
    this.#hasSuccessors = request.count === RESOURCES_PER_REQUEST_MAX;
    this.#caller = caller;
    this.#pushId = pushId;
    this.#keptName = `${pushId} ${caller}`;
    this.#context = context;
    if (this.#hasSuccessors || this.contents.length === 0) return;
    this.#inspection = this.#call("inspect", async (object, ...names) => object.inspect(...names));
  }

  /**
   * The decisions for the request. Those for 5,000 resources are stored before this returns.
   *
   * @param found a mark for each content
   * @param verify is called if a retry is suspected, and corrects `found`
   */
  async decide(found: Uint8Array, verify?: (earlier: Decisions) => Promise<void>): Promise<Decided> {
    if (this.contents.length === 0) return { decisions: new Uint8Array(), decidedEarlier: 0 };
    const reply = await (this.#hasSuccessors ? this.#decide(found, verify === undefined) : this.#inspection);
    if (reply && "decisions" in reply) return reply;
    const earlier = this.#earlier(reply);
    if (reply?.retrySuspected) await verify?.(earlier);
    const decided = this.#hasSuccessors && reply ? await this.#decide(found, true) : undefined;
    if (decided && "decisions" in decided) return decided;
    const alone = earlier.resolve(this.contents, found, Date.now());
    if (this.#hasSuccessors) this.#keep(alone.decisions, false);
    return alone;
  }

  async #decide(found: Uint8Array, verified: boolean): Promise<Reply | undefined> {
    const { contents } = this;
    const batches = this.#unstored();
    const kept = batches.length > 0 ? new Decisions({ ...NO_SESSION, batches }).of(contents) : undefined;
    const marks = kept ? found.map((mark, index) => (mark <= NO_MATCH && kept[index]) || mark) : found;
    const reply = await this.#call("decide", async (object, ...names) =>
      object.decide(...names, contents, marks, verified),
    );
    if (reply && "decisions" in reply) this.#keep(reply.decisions, true);
    return reply;
  }

  /** What was decided before: as the object says, and as this isolate decided without it; or, without its reply, all that is kept. */
  #earlier(inspection: Inspection | undefined): Decisions {
    if (!inspection) return new Decisions(this.#kept() ?? NO_SESSION);
    const { session } = inspection;
    return new Decisions({ ...session, batches: [...session.batches, ...this.#unstored()] });
  }

  async #call(
    method: "inspect" | "decide",
    call: (object: DurableObjectStub<PushSessions>, ...names: [string, string, string]) => Promise<Reply>,
  ): Promise<Reply | undefined> {
    const { configuration, log } = this.#context;
    const attempt = async (): Promise<Reply> => {
      // A deployment resets the object: only a new stub reaches the next instance.
      const stub = configuration.pushSessions.getByName(this.#caller) as unknown;
      const object = stub as DurableObjectStub<PushSessions>;
      return understood(await call(object, this.#pushId, this.#fingerprint, this.#requestId), this.contents);
    };
    const giveUpAt = Date.now() + TIMEOUT_MS.pushSessions;
    const attempts = async (): Promise<Reply> => {
      for (;;) {
        const reply = await attempt().catch((error) => {
          if (Date.now() >= giveUpAt) throw error;
        });
        if (reply) return reply;
        await scheduler.wait(RETRY_DELAY_MS);
      }
    };
    try {
      return await withTimeout(TIMEOUT_MS.pushSessions, attempts());
    } catch (error) {
      const mayLoseFile = this.#hasSuccessors;
      log.warn("push-sessions-unreachable", { method, cause: causeOf(error), mayLoseFile });
      return undefined;
    }
  }

  /** What this isolate has decided in the session's other requests. */
  #kept() {
    const kept = keptBy.get(this.#context.configuration)?.get(this.#keptName);
    if (!kept || isExpired(kept, Date.now())) return undefined;
    return {
      ...NO_SESSION,
      ...kept,
      batches: kept.batches.filter((batch) => batch.contents !== this.contents),
    };
  }

  /** What of that the object lacks. */
  #unstored(): Batch[] {
    return this.#kept()?.batches.filter(({ isStored }) => !isStored) ?? [];
  }

  #keep(decisions: Uint8Array<ArrayBuffer>, isStored: boolean): void {
    const { configuration } = this.#context;
    const sessions = keptBy.get(configuration) ?? new Map<string, KeptSession>();
    keptBy.set(configuration, sessions);
    const now = Date.now();
    const batch = { decidedAt: now, contents: this.contents, marks: decisions, isStored };
    const { firstAt = now, batches = [] } = this.#kept() ?? {};
    // The session that was used last comes last.
    sessions.delete(this.#keptName);
    const kept = [...batches, batch].slice(-KEPT_BATCHES_MAX);
    const isIdentified = this.#pushId !== "";
    sessions.set(this.#keptName, { isIdentified, firstAt, lastAt: now, batches: kept });
    for (const oldest of [...sessions.keys()].slice(0, -KEPT_SESSIONS_MAX)) sessions.delete(oldest);
  }
}

/** @throws for a reply of another form: during a deployment the object may run another version of the Worker */
function understood(reply: Reply, contents: Uint8Array): Reply {
  const batches = "decisions" in reply ? [{ contents, marks: reply.decisions }] : reply.session.batches;
  const isUnderstood = batches.every(
    ({ contents, marks }) => contents.length === CONTENT_BYTES * marks.length,
  );
  if (!isUnderstood) throw new Error("the object runs another version of the Worker");
  return reply;
}
