import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { INLINE_DELTA } from "../../src/catalog/manifest-writer.ts";
import { report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { signToken } from "../support/tokens.ts";
import { keyOf, resource, sendWithEnv } from "../support/worker.ts";

/** Longer than the Worker polls. */
const QUIET_MS = 40;
const POOL = 5_000;
const row = (count: number) => Array.from({ length: count }, (_, index) => resource(index));

/**
 * The calls that leave the isolate, in rounds: a call has no result before the Worker makes no further call. So the rounds are the
 * sequential round trips.
 */
class Rounds {
  /** The names of the calls in each round. */
  readonly names: string[][] = [];
  #waiting: { name: string; release: () => void }[] = [];
  #isOver = false;

  async call<T>(name: string, real: () => Promise<T>): Promise<T> {
    if (!this.#isOver) await new Promise<void>((release) => this.#waiting.push({ name, release }));
    return real();
  }

  /** Runs rounds until `response`. Later calls do not wait. */
  async run(response: Promise<unknown>): Promise<void> {
    response.then(() => {
      this.#isOver = true;
      this.#release();
    });
    let known = 0;
    while (!this.#isOver) {
      await scheduler.wait(QUIET_MS);
      if (this.#waiting.length > 0 && this.#waiting.length === known) {
        this.names.push([...new Set(this.#waiting.map(({ name }) => name))].sort());
        this.#release();
      }
      known = this.#waiting.length;
    }
  }

  #release(): void {
    for (const { release } of this.#waiting.splice(0)) release();
  }
}

let rounds = new Rounds();
const RESOURCE_CACHE = {
  get: (names: string | string[], options: never) =>
    rounds.call(
      Array.isArray(names) ? "keys" : names.replace(/\/.*/, ""),
      async () => env.RESOURCE_CACHE.get(names as string, options) as Promise<unknown>,
    ),
  put: () => {},
  delete: () => {},
};
const PUSH_SESSIONS = {
  getByName(caller: string) {
    const stub = env.PUSH_SESSIONS.getByName(caller) as unknown as Record<
      string,
      (...parameters: unknown[]) => Promise<unknown>
    >;
    const method =
      (name: string) =>
      (...parameters: unknown[]) =>
        rounds.call(name, async () => stub[name]?.(...parameters));
    return { inspect: method("inspect"), decide: method("decide") };
  },
};
const inlineDelta = { ...INLINE_DELTA };
let isolate: object;

/** Publishes what was reported. */
async function publish(): Promise<void> {
  advanceClock(20_000);
  await runAlarm();
}

beforeEach(async () => {
  collectLogs();
  const fetch = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation((input, init) =>
    rounds.call("token_keys", () => fetch(input as Request, init)),
  );
  isolate = { ...env, RESOURCE_CACHE, PUSH_SESSIONS };
  await report({ present: Array.from({ length: POOL }, (_, index) => keyOf(index)) });
  await publish();
  await publish();
});
afterEach(async () => {
  Object.assign(INLINE_DELTA, inlineDelta);
  vi.restoreAllMocks();
  await reset();
});

/** Sends a request, and returns the rounds until its response. */
async function roundsOf(count: number, token?: string, body: object = { resources: row(count) }) {
  rounds = new Rounds();
  const signed = token ?? (await signToken());
  const { promise: response, resolve: onResponse } = Promise.withResolvers<void>();
  const sent = sendWithEnv(isolate, body, { token: signed, onResponse });
  await rounds.run(response);
  await sent;
  return rounds.names;
}

it.each([
  [
    1,
    [
      ["manifest", "token_keys"],
      ["inspect", "snapshot"],
    ],
  ],
  [
    500,
    [
      ["manifest", "token_keys"],
      ["inspect", "snapshot"],
    ],
  ],
  [5_000, [["manifest", "token_keys"], ["snapshot"], ["decide"]]],
])(
  "needs two reads of KV one after the other in a cold isolate, for %i resources",
  async (count, expected) => {
    expect(await roundsOf(count)).toEqual(expected);
  },
);

it.each([
  [1, [["inspect", "manifest"]], [["inspect"]]],
  [500, [["inspect", "manifest"]], [["inspect"]]],
  [5_000, [["manifest"], ["decide"]], [["decide"]]],
])(
  "needs one read of KV after 60 s, and none right after that, for %i resources",
  async (count, idle, warm) => {
    await roundsOf(count);
    advanceClock(61_000);
    expect(await roundsOf(count)).toEqual(idle);
    expect(await roundsOf(count)).toEqual(warm);
  },
);

it("reads a large delta and the snapshot at the same time", async () => {
  INLINE_DELTA.maxBytes = 0;
  await report({ removed: [resource(1).checksum.value] });
  await publish();
  expect(await roundsOf(5_000)).toEqual([["manifest", "token_keys"], ["delta", "snapshot"], ["decide"]]);
});

it("reads the manifest at most every 30 s, and no snapshot, for callers without a valid token", async () => {
  const forged = `${(await signToken()).split(".").slice(0, 2).join(".")}.AAAA`;
  expect(await roundsOf(1, forged)).toEqual([["manifest", "token_keys"]]);
  isolate = { ...isolate };
  expect(await roundsOf(1, "garbage")).toEqual([]);
  advanceClock(61_000);
  expect((await roundsOf(1, forged)).flat()).not.toContain("snapshot");
  advanceClock(29_000);
  expect((await roundsOf(1, forged)).flat()).not.toContain("manifest");
});

it("reads the manifest again if a slow body arrives when it is too old", async () => {
  const bytes = new TextEncoder().encode(JSON.stringify({ resources: row(1) }));
  const slow = new ReadableStream({
    async pull(controller) {
      await scheduler.wait(4 * QUIET_MS);
      advanceClock(50_000);
      controller.enqueue(bytes);
      controller.close();
    },
  });
  const names = await roundsOf(1, undefined, slow);
  expect(names.flat().filter((name) => name === "manifest")).toHaveLength(2);
});
