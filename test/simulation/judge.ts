import { STATE } from "../../src/catalog/tables.ts";
import { OPERATOR } from "./operator.ts";
import type { Isolate } from "./platform/isolate.ts";
import { sha1OfBlobName } from "./platform/r2.ts";
import { PushJudge } from "./push-judge.ts";
import { clock } from "./schedule.ts";
import { Spans } from "./spans.ts";
import type { Effect, Observations } from "./told.ts";
import type { World } from "./world.ts";

/** A removed file may be claimed for so long after somebody told. */
const CLAIMED_AFTER_REMOVAL_MS = 180_000;
/** A file that is told to be held is claimed after so long. */
const CLAIMED_AFTER_TELLING_MS = 180_000;
/** An isolate that took longer was frozen, or waited for its deadline. */
const ANSWERED_MAX_MS = 900;
/** What a push was told is remembered for so long. */
const TOLD_REMEMBERED_MS = 6 * 60_000;
const POINTER_TRUSTED_MS = 25 * 60 * 60 * 1000;
/** What went wrong with the catalog delays it for so long after. */
const RECOVERY_MS = 120_000;

/** The parameter of the catalog's `deny`. */
interface Denials {
  asOf: number;
  denied: readonly string[];
}

export interface Answered {
  isolate: Isolate;
  requestId: string;
  caller: string;
  keys: readonly string[];
  claimed: readonly string[];
  status: number;
  startedAt: number;
}

/** Something that must never be. */
export interface Violation {
  rule: "wrong yes" | "wrong no" | "wedged" | "lost" | "dishonest" | "lost file" | "unhealed";
  /** Ms after the beginning. */
  at: number;
  text: string;
}

/** Knows the true pool and what was told, and judges whatever the code under test says. */
export class Judge {
  readonly violations: Violation[] = [];
  readonly pushes: PushJudge;
  readonly #world: World;
  #prefix: string | undefined;
  /** What the catalog is to have made of each call. */
  readonly #effects = new WeakMap<Observations, Effect>();
  /** When the platform kept the catalog from publishing, as far as readers can't know. */
  readonly #silent = new Spans();
  /** When the catalog was kept from its work. */
  readonly #disturbed = new Spans();
  readonly answers: { at: number; claimed: readonly string[] }[] = [];
  readonly counts = { answers: 0, claims: 0, mustClaim: 0, observations: 0 };

  constructor(world: World) {
    this.#world = world;
    this.pushes = new PushJudge(world);
  }

  /** A method of the catalog has done its work, which is durable. */
  landed(method: string, [parameter]: unknown[], caller: string): void {
    const { told, kernel, pool } = this.#world;
    if (method === "forget") told.forget(kernel.now);
    if (method === "deny") this.#denied(parameter as Denials);
    if (method !== "observe") return;
    const observations = parameter as Observations;
    this.counts.observations += 1;
    kernel.note(`catalog has observed ${summary(observations)}`);
    const { asOf, held = [], removed = [] } = observations;
    for (const key of held) {
      const sha1 = key.slice(0, 40);
      if (!pool.wasEver(sha1, true, asOf, kernel.now)) {
        this.violated(
          "dishonest",
          `${short(sha1)} was not held at ${this.#time(asOf)} or later, as was told`,
        );
      }
    }
    // The operator's request may have been under way for long: what was removed is told as of later than it was.
    for (const sha1 of caller.startsWith(OPERATOR) ? [] : removed) {
      if (!pool.wasEver(sha1, false, asOf, kernel.now)) {
        this.violated(
          "dishonest",
          `${short(sha1)} was held from ${this.#time(asOf)} on, against what was told`,
        );
      }
    }
    this.#effects.set(observations, told.landed(observations, kernel.now));
  }

  /** What the Cloud Controller denied is told as removed, where the catalog believes it. */
  #denied({ asOf, denied }: Denials): void {
    const { told, kernel, pool, catalog } = this.#world;
    const { sql } = catalog.storage.api;
    for (const sha1 of denied) {
      if (!pool.wasEver(sha1, false, asOf, kernel.now)) {
        this.violated("dishonest", `${short(sha1)} was held from ${this.#time(asOf)} on, and denied`);
      }
    }
    const isBelieved = (sha1: string) => {
      const query = "SELECT state FROM resources WHERE sha1 = ? AND observed_at = ?";
      const [row] = sql.exec(query, Buffer.from(sha1, "hex"), asOf).toArray();
      return row?.state === STATE.removed;
    };
    const removed = denied.filter(isBelieved);
    kernel.note(
      `catalog was denied ${denied.map(short).join(",")}, believes ${removed.map(short).join(",")}`,
    );
    told.landed({ asOf, removed, sizes: "said" }, kernel.now);
    told.heard({ asOf, removed, sizes: "said" }, kernel.now);
    const [row] = sql.exec("SELECT value FROM memory WHERE name = 'suspension'").toArray();
    const suspension = row ? (JSON.parse(String(row.value)) as { until: number } | null) : null;
    if (suspension) this.disturbed(kernel.now, suspension.until);
  }

  /** The caller hears what became of it. */
  returned(method: string, [parameter]: unknown[], result: unknown): void {
    if (method !== "observe") return;
    const { told, kernel } = this.#world;
    const observations = parameter as Observations;
    told.heard(observations, kernel.now);
    kernel.note(`caller hears: ${JSON.stringify(result)}`);
    const { changed, tooOld, madeUp } = this.#effects.get(observations) ?? {
      changed: 0,
      tooOld: 0,
      madeUp: 0,
    };
    const { refused, ...counts } = result as { changed: number; refused: Record<string, number> };
    if (counts.changed !== changed || refused["too-old"] !== tooOld || refused["made-up-size"] !== madeUp) {
      this.violated(
        "lost",
        `of what was told, ${changed} change, ${tooOld} are too old, ${madeUp} have a made-up size`,
      );
    }
  }

  /** The catalog has seen which KEY_PREFIX is deployed: when that is another, it begins anew. */
  begun(prefix: string): void {
    const { told, kernel } = this.#world;
    const isMove = this.#prefix !== undefined && this.#prefix !== prefix;
    this.#prefix = prefix;
    if (!isMove) return;
    kernel.note(`catalog moves to "${prefix}"`);
    told.empty(kernel.now);
    this.disturbed(kernel.now, kernel.now);
  }

  /** Nobody publishes: then the pointer counts for a day, and no longer. */
  silenced(from: number, until: number): void {
    this.#silent.add(from, Math.min(until, from + POINTER_TRUSTED_MS) + RECOVERY_MS);
    this.disturbed(from, until);
  }

  disturbed(from: number, until: number): void {
    this.#disturbed.add(from, until + RECOVERY_MS);
  }

  /** The consumer has acknowledged an event: then the catalog knows how the blob was when it was delivered, or later. */
  acknowledged(body: unknown, deliveredAt: number): void {
    const { object } = body as { object: { key: string } };
    const sha1 = sha1OfBlobName(object.key);
    if (sha1 && !this.#world.told.knowsAsOf(sha1, deliveredAt)) {
      this.violated("lost", `the event of ${short(sha1)} was acknowledged before the catalog knew`);
    }
  }

  answered({ isolate, requestId, caller, keys, claimed, status, startedAt }: Answered): void {
    const { kernel, told, weather, controller, pool } = this.#world;
    this.counts.answers += 1;
    this.counts.claims += claimed.length;
    this.answers.push({ at: startedAt - this.#world.start, claimed });
    if (status !== 201) {
      if (status !== 403) this.violated("wrong no", `${requestId} was answered ${status}`);
      return;
    }
    const { now } = kernel;
    const matched = controller.matched.get(requestId);
    const asked = new Set(keys);
    const isOfPush = caller !== "user";
    for (const key of claimed) {
      const sha1 = key.slice(0, 40);
      if (!asked.has(key))
        this.violated("wrong yes", `${requestId} claims ${short(key)}, which was not asked for`);
      if (matched?.has(sha1) || (isOfPush && this.pushes.wasMatched(caller, sha1))) continue;
      for (const toldAt of told.objections(sha1)) {
        // What a push was told stands until it ends.
        const allowance =
          CLAIMED_AFTER_REMOVAL_MS +
          (isOfPush ? TOLD_REMEMBERED_MS : 0) +
          this.#lateness(isolate.place, toldAt, now);
        if (now - toldAt <= allowance) continue;
        const age = toldAt === -Infinity ? "never told" : `told ${clock(now - toldAt)} ago that it left`;
        this.violated("wrong yes", `${requestId} in ${isolate.name} claims ${short(sha1)}, ${age}`);
        break;
      }
    }
    // What a push was told before may forbid it.
    if (isOfPush) return;
    const held = new Set(claimed);
    for (const key of asked) {
      const toldAt = told.heldSince(key);
      // What has gone without anybody telling may have been denied by the Cloud Controller.
      if (toldAt === undefined || !pool.has(key.slice(0, 40))) continue;
      const since = Math.max(toldAt, weather.wellSince(isolate.place, now), this.#disturbed.lastEnd(now));
      if (since > startedAt - CLAIMED_AFTER_TELLING_MS || now - startedAt > ANSWERED_MAX_MS) continue;
      if (isolate.configuration.keyPrefix !== this.#prefix || weather.isHiding(isolate.place, now)) continue;
      this.counts.mustClaim += 1;
      if (!held.has(key)) {
        this.violated(
          "wrong no",
          `${requestId} in ${isolate.name} lacks ${short(key)}, told ${clock(now - toldAt)} ago`,
        );
      }
    }
  }

  /** Pages of the catalog, to be the same as what was told. */
  paged(resources: readonly string[]): void {
    const told = this.#world.told.held();
    const lacking = told.filter((key) => !resources.includes(key));
    const more = resources.filter((key) => !told.includes(key));
    for (const key of lacking)
      this.violated("lost", `the catalog lacks ${short(key)}, which was told to be held`);
    for (const key of more)
      this.violated("lost", `the catalog holds ${short(key)}, which was told to be gone`);
  }

  #lateness(place: number, from: number, until: number): number {
    if (from === -Infinity) return 0;
    return this.#world.weather.lateness(place, from, until) + this.#silent.lengthWithin(from, until);
  }

  violated(rule: Violation["rule"], text: string): void {
    const { kernel, start } = this.#world;
    kernel.note(`VIOLATION ${rule}: ${text}`);
    this.violations.push({ rule, at: kernel.now - start, text });
  }

  #time(time: number): string {
    return clock(Math.max(0, time - this.#world.start));
  }
}

function short(key: string): string {
  return key.slice(0, 6) + key.slice(40);
}

function summary({ held = [], removed = [], sizes }: Observations): string {
  return `held ${held.map(short).join(",") || "none"}, removed ${removed.map(short).join(",") || "none"} (${sizes})`;
}
