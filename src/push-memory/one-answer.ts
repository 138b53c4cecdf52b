import type { Contents } from "../cache/contents.ts";
import { toHex } from "../hex.ts";
import { causeOf } from "../log.ts";
import { inTime, PATIENCE_MS } from "../patience.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { ownMemoryOf } from "./own-memories.ts";
import type { PushMemory, Recalled } from "./push-memory.ts";
import { isAnyTold, type Tellings, TOLD_NO, TOLD_YES, TOLD_YES_LOST } from "./tellings.ts";

/** What a request has to do with the memory of its caller's pushes. Nothing here throws. */
export class OneAnswer {
  /** Whether the push asks for nothing after this request: it is remembered for those that follow. */
  readonly isLast: boolean;
  readonly #context: RequestContext;
  readonly #caller: string;
  /** 8 bytes each. */
  readonly #contents: Uint8Array<ArrayBuffer>;
  readonly #asking: Promise<Recalled | undefined>;
  /** What earlier requests of the push were told, as it was recalled: the memory's word before the isolate's own. */
  #told: Uint8Array;
  #digest = "";

  /**
   * Begins to ask the memory.
   *
   * @param candidates what may match, in the request's order
   * @param caller GUID of the user or id of the client
   * @param count resources that the request asks for: cf CLI asks for 5,000 at a time
   */
  constructor(candidates: Contents, caller: string, count: number, context: RequestContext) {
    this.#context = context;
    this.#caller = caller;
    this.#contents = candidates.folded();
    this.#told = new Uint8Array(candidates.count);
    this.isLast = count !== RESOURCES_PER_REQUEST_MAX;
    this.#asking = this.#ask();
  }

  /** What earlier requests of the push were told of each content, and what is to be thought of the question. */
  async recalled(): Promise<Recalled> {
    const recalled = await this.#asking;
    this.#own().dropBefore(recalled?.forgottenAt ?? 0);
    const own = this.#own().recall(this.#contents, Date.now());
    if (recalled && !isAnyTold(own)) {
      this.#told = recalled.told;
      return { ...recalled, told: this.#told.slice() };
    }
    this.#told = recalled?.told.map((mark, index) => mark || (own[index] as number)) ?? own;
    // What the isolate alone knows may have been told since the memory was asked, and a push may rely on it.
    const relied = own.map((mark, index) => recalled?.relied[index] || (recalled?.told[index] ? 0 : mark));
    return { isDoubtful: false, forgottenAt: 0, ...recalled, relied, told: this.#told.slice() };
  }

  /**
   * Has what the request is told remembered, before it is told.
   *
   * @param found of each content `TOLD_YES` or `TOLD_NO`, or `UNTOLD` where the look-up has failed
   * @returns what it is to be told: what was told before stands
   */
  async settle(found: Uint8Array): Promise<Uint8Array> {
    if (this.#contents.length === 0) return found;
    // What was recalled stands, even where the memory has forgotten it since, and is to know it again.
    const isToldBefore = isAnyTold(this.#told);
    const known = !isToldBefore
      ? found
      : found.map((mark, index) => {
          if (this.#told[index] !== TOLD_YES) return (this.#told[index] as number) || mark;
          return mark === TOLD_YES ? TOLD_YES : TOLD_YES_LOST;
        });
    const settled = await this.#call("tell", async (memory) =>
      this.#marks(await memory.tell(this.#contents, known)),
    );
    // What was denied while this request was answered is told no, and stays so.
    const told = !isToldBefore
      ? (settled ?? found)
      : (settled ?? found).map((mark, index) => {
          const before = this.#told[index] as number;
          return settled && before === TOLD_YES ? mark : before || mark;
        });
    // Nor does the isolate's own memory keep a yes for longer that was not found any more.
    const toOwn = !isToldBefore
      ? told
      : told.map((mark, index) =>
          mark === TOLD_YES && known[index] === TOLD_YES_LOST ? TOLD_YES_LOST : mark,
        );
    const own = this.#own().settle(this.#contents, toOwn, Date.now()).settled;
    if (!settled) return own;
    // Denied through another isolate: a yes of this one's own counts no more.
    const denied: number[] = [];
    if (told.includes(TOLD_NO)) {
      told.forEach((mark, index) => {
        if (mark === TOLD_NO && own[index] === TOLD_YES) denied.push(index);
      });
    }
    this.#denyOwn(denied);
    return told;
  }

  /**
   * A yes that was told of these contents, by their index, was wrong.
   *
   * @returns those of which it stands all the same, since a push has come to rely on it meanwhile
   */
  async deny(indices: readonly number[]): Promise<number[]> {
    const relied = await this.#call("deny", (memory) => memory.deny(this.#rowsOf(indices)));
    this.#drop(indices.filter((_, at) => relied?.[at] !== 1));
    return indices.filter((_, at) => relied?.[at] === 1);
  }

  /** A yes of these contents, by their index, was settled, and is not told after all. */
  async revoke(indices: readonly number[]): Promise<void> {
    this.#drop(indices);
    await this.#call("revoke", (memory) => memory.revoke(this.#rowsOf(indices)));
  }

  #drop(indices: readonly number[]): void {
    for (const index of indices) this.#told[index] = TOLD_NO;
    this.#denyOwn(indices);
  }

  /** Nothing of the answer came from the cache. */
  async unclaimed(): Promise<void> {
    if (this.#contents.length > 0) await this.#call("unclaimed", (memory) => memory.unclaimed(this.#digest));
  }

  #denyOwn(indices: readonly number[]): void {
    if (indices.length > 0) this.#own().deny(this.#rowsOf(indices), Date.now());
  }

  #rowsOf(indices: readonly number[]): Uint8Array<ArrayBuffer> {
    const rows = new Uint8Array(8 * indices.length);
    indices.forEach((index, at) => {
      rows.set(this.#contents.subarray(8 * index, 8 * index + 8), 8 * at);
    });
    return rows;
  }

  async #ask(): Promise<Recalled | undefined> {
    if (this.#contents.length === 0) {
      // Nothing that is asked may match: there is nothing to agree on. Claims are verified where a Cloud Controller is.
      const { configuration, waitUntil } = this.#context;
      const isOfInterest = this.isLast && configuration.cloudControllerUrl !== undefined;
      if (isOfInterest) waitUntil(this.#call("complete", (memory) => memory.complete()));
      return undefined;
    }
    const digest = await crypto.subtle.digest("SHA-256", this.#contents);
    this.#digest = toHex(new Uint8Array(digest));
    return this.#call("ask", async (memory) => {
      const recalled = await memory.ask(this.#contents, this.#digest, this.isLast);
      this.#marks(recalled.told);
      this.#marks(recalled.relied);
      return recalled;
    });
  }

  async #call<T>(
    method: string,
    call: (memory: DurableObjectStub<PushMemory>) => Promise<T>,
  ): Promise<T | undefined> {
    const { configuration, log } = this.#context;
    const attempt = async () => {
      const memory = configuration.pushMemory.getByName(this.#caller);
      return call(memory as unknown as DurableObjectStub<PushMemory>);
    };
    try {
      // A deployment ends the object while it is called: another stub reaches the next one.
      return await inTime(PATIENCE_MS.pushMemory, attempt().catch(attempt));
    } catch (error) {
      log.warn("push-memory-unreachable", { method, cause: causeOf(error) });
      return undefined;
    }
  }

  /** @throws for what are no marks of these contents: while a new version is deployed, the memory may be of another. */
  #marks(marks: Uint8Array): Uint8Array {
    const isSo = marks instanceof Uint8Array && marks.length === this.#told.length;
    if (!isSo) throw new Error("the memory's answer is of another form");
    return marks;
  }

  #own(): Tellings {
    return ownMemoryOf(this.#caller, this.#context.configuration);
  }
}
