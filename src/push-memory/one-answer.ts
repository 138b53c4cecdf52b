import type { Contents } from "../cache/contents.ts";
import type { Configuration } from "../configuration.ts";
import { Deadline } from "../deadline.ts";
import { toHex } from "../hex.ts";
import { causeOf } from "../log.ts";
import type { RequestContext } from "../request-context.ts";
import type { PushMemory, Recalled } from "./push-memory.ts";
import { Tellings } from "./tellings.ts";

/** How long an answer waits for the memory. */
const PATIENCE_MS = 500;
/** Callers whose pushes an isolate remembers for itself, for when their memory can't be reached. */
const CALLERS_MAX = 8;

/** The isolate's own memories live as long as the configuration that they belong to: as the env object. */
const memoriesOf = new WeakMap<Configuration, Map<string, Tellings>>();

/** What a request has to do with the memory of its caller's pushes. Nothing here throws. */
export class OneAnswer {
  readonly #context: RequestContext;
  readonly #caller: string;
  /** 8 bytes each. */
  readonly #contents: Uint8Array<ArrayBuffer>;
  readonly #asking: Promise<Recalled | undefined>;
  #digest = "";

  /**
   * Begins to ask the memory.
   *
   * @param candidates what may match, in the request's order
   * @param caller GUID of the user or id of the client
   */
  constructor(candidates: Contents, caller: string, context: RequestContext) {
    this.#context = context;
    this.#caller = caller;
    this.#contents = candidates.folded();
    this.#asking = this.#ask();
  }

  /** What earlier requests of the push were told of each content, and what is to be thought of the question. */
  async recalled(): Promise<Recalled> {
    const recalled = await this.#asking;
    this.#own().dropBefore(recalled?.forgottenAt ?? 0);
    const own = this.#own().recall(this.#contents, Date.now());
    if (!recalled) return { told: own, isDoubtful: false, forgottenAt: 0 };
    return { ...recalled, told: recalled.told.map((mark, index) => mark || (own[index] as number)) };
  }

  /**
   * Has what the request is told remembered, before it is told.
   *
   * @param found of each content `TOLD_YES` or `TOLD_NO`, or `UNTOLD` where the look-up has failed
   * @returns what it is to be told: what was told before stands
   */
  async settle(found: Uint8Array): Promise<Uint8Array> {
    const own = this.#own().recall(this.#contents, Date.now());
    const settled = await this.#call("tell", (memory) => memory.tell(this.#contents, found));
    // What only the isolate remembers stands too.
    const told = settled?.map((mark, index) => own[index] || mark) ?? found;
    return this.#own().settle(this.#contents, told, Date.now()).settled;
  }

  /** A yes that was told of these contents, by their index, was wrong. */
  async deny(indices: readonly number[]): Promise<void> {
    const denied = new Uint8Array(8 * indices.length);
    indices.forEach((index, at) => {
      denied.set(this.#contents.subarray(8 * index, 8 * index + 8), 8 * at);
    });
    this.#own().deny(denied, Date.now());
    await this.#call("deny", (memory) => memory.deny(denied));
  }

  /** Nothing of the answer came from the cache. */
  async unclaimed(): Promise<void> {
    await this.#call("unclaimed", (memory) => memory.unclaimed(this.#digest));
  }

  async #ask(): Promise<Recalled | undefined> {
    const digest = await crypto.subtle.digest("SHA-256", this.#contents);
    this.#digest = toHex(new Uint8Array(digest));
    return this.#call("ask", (memory) => memory.ask(this.#contents, this.#digest));
  }

  async #call<T>(
    method: string,
    call: (memory: DurableObjectStub<PushMemory>) => Promise<T>,
  ): Promise<T | undefined> {
    const { configuration, log } = this.#context;
    // Nothing that is asked may match: there is nothing to agree on.
    if (this.#contents.length === 0) return undefined;
    try {
      const memory = configuration.pushMemory.getByName(
        this.#caller,
      ) as unknown as DurableObjectStub<PushMemory>;
      return await new Deadline(PATIENCE_MS).race(call(memory));
    } catch (error) {
      log.warn("push-memory-unreachable", { method, cause: causeOf(error) });
      return undefined;
    }
  }

  /** The isolate's own memory of the caller's pushes. */
  #own(): Tellings {
    const { configuration } = this.#context;
    const memories = memoriesOf.get(configuration) ?? new Map<string, Tellings>();
    memoriesOf.set(configuration, memories);
    const own = memories.get(this.#caller) ?? new Tellings();
    // The last is the one that was used last.
    memories.delete(this.#caller);
    memories.set(this.#caller, own);
    for (const caller of memories.keys()) {
      if (memories.size <= CALLERS_MAX) break;
      memories.delete(caller);
    }
    return own;
  }
}
