import { reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { cacheWithoutKeys } from "../support/cache.ts";
import { observe, runAlarm } from "../support/catalog.ts";
import { later } from "../support/clock.ts";
import { collectLogs } from "../support/logs.ts";
import { CLOUD_CONTROLLER_URL, matching, standInOrigin } from "../support/origin.ts";
import { signedToken } from "../support/tokens.ts";
import { askWith, keyOf, matchedPaths, resource, type SentResource } from "../support/worker.ts";

const row = (count: number, from = 0) => Array.from({ length: count }, (_, index) => resource(from + index));
const USER = "6d0e3b0e-93f2-4d0a-9e0c-0c1ad5c0a001";
const memory = () => env.PUSH_MEMORY.getByName(USER);

/** A request of a push, which meets an isolate of its own unless `bindings` say otherwise. */
async function request(resources: SentResource[], bindings: object = {}): Promise<Response> {
  const token = await signedToken({ user_id: USER });
  return askWith({ ...env, RESOURCE_CACHE: cacheWithoutKeys, ...bindings }, { resources }, { token });
}
const askFor = async (resources: SentResource[], bindings: object = {}) =>
  matchedPaths(await request(resources, bindings));

/** The catalog tells every isolate that comes. */
async function publish(observations: Parameters<typeof observe>[0]): Promise<void> {
  await observe({ ...observations, asOf: Date.now() + 1 });
  later(20_000);
  await runAlarm();
}

let logs: Record<string, unknown>[];
beforeEach(() => {
  logs = collectLogs();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("within a push the answer for a content does not change", () => {
  it("a content that was not held in the first request is not matched in the last, even if it is known by then", async () => {
    const [shared, other] = [resource(1), resource(9_000)];
    expect(await askFor(row(5_000))).toEqual([]);
    await publish({ held: [keyOf(1), keyOf(9_000)] });
    expect(await askFor([shared, other])).toEqual([other.path]);
  });

  it("a content that was held in the first request is matched in the last, even if KV fails by then", async () => {
    await publish({ held: [keyOf(1), keyOf(2)] });
    expect(await askFor(row(5_000))).toEqual(["src/1.js", "src/2.js"]);
    const get = () => Promise.reject(new Error("KV GET failed: 503"));
    const RESOURCE_CACHE = { get, put: get, delete: get };
    const last = [resource(2, { path: "copy" }), resource(9_000)];
    expect(await askFor(last, { RESOURCE_CACHE })).toEqual(["copy"]);
  });

  it("or if the pool has lost it: the push then fails with a message, and does not lack a file", async () => {
    await publish({ held: [keyOf(1)] });
    await askFor(row(5_000));
    await publish({ removed: [resource(1).checksum.value] });
    expect(await askFor([resource(1)])).toEqual(["src/1.js"]);
  });

  it("a deadline in one request and an answer in the next are told as one no", async () => {
    const holdsAll = matching(() => true);
    let isSilent = true;
    standInOrigin((request) => (isSilent ? new Promise(() => {}) : holdsAll(request)));
    const bindings = { CLOUD_CONTROLLER_URL };
    expect(await askFor(row(5_000), { ...bindings, LOOKUP_DEADLINE_MS: "100" })).toEqual([]);
    isSilent = false;
    expect(await askFor([resource(1), resource(9_000)], bindings)).toEqual(["src/9000.js"]);
  });

  it("a mode that rules a content out in the first request rules it out in the last", async () => {
    await publish({ held: [keyOf(1)] });
    const first = [resource(1, { mode: "0444" }), ...row(4_999, 2)];
    const bindings = { MINIMUM_FILE_MODE: "0600" };
    expect(await askFor(first, bindings)).toEqual([]);
    expect(await askFor([resource(1)], bindings)).toEqual([]);
  });

  it("a mode that comes after a yes is claimed with the bits that it lacks, and the push is warned", async () => {
    await publish({ held: [keyOf(1), keyOf(2)] });
    const bindings = { MINIMUM_FILE_MODE: "0600" };
    await askFor(row(5_000), bindings);
    const copies = [
      resource(1, { mode: "0444" }),
      resource(1, { mode: "100444" }),
      resource(1, { mode: "44" }),
      resource(2),
    ];
    const response = await request(copies, bindings);
    const { resources } = await response.clone().json<{ resources: SentResource[] }>();
    expect(resources.map(({ mode }) => mode)).toEqual(["0644", "100644", "644", "644"]);
    expect(decodeURIComponent(response.headers.get("X-Cf-Warnings") ?? "")).toMatch(
      /mode that the platform takes/,
    );
  });

  it.each([
    ["switched off in the middle of a push: what was matched stands", "true", "false", ["copy"]],
    ["switched on in the middle of a push: what was not matched stands", "false", "true", []],
  ])("matching that is %s", async (_, first, last, matched) => {
    await publish({ held: [keyOf(1)] });
    const told = await askFor(row(5_000), { FEATURE_RESOURCE_MATCHING: first });
    expect(told).toEqual(matched.length > 0 ? ["src/1.js"] : []);
    const copy = [resource(1, { path: "copy" })];
    expect(await askFor(copy, { FEATURE_RESOURCE_MATCHING: last })).toEqual(matched);
  });

  it.each([
    ["half of which it has asked before", [...row(2_600), ...row(2_400, 6_000)]],
    ["which an earlier push has asked too", row(5_000, 6_000)],
  ])("however slow the client is, a minute later with a request %s", async (_, second) => {
    // An earlier push of the same app, of which everything is forgotten but the questions.
    for (const request of [row(5_000), row(5_000, 6_000), [resource(1)]]) await askFor(request);
    later(7 * 60_000);
    const shared = { ...resource(1), path: "copy" };
    await askFor(row(5_000));
    await publish({ held: [keyOf(1), keyOf(9_000)] });
    later(70_000);
    expect(await askFor([...second.slice(0, 4_999), shared])).not.toContain("copy");
    expect(await askFor([shared, resource(9_001)])).toEqual([]);
  });

  it("whoever is quicker, of two requests that come together", async () => {
    const contents = new Uint8Array(8).fill(7);
    expect(await memory().tell(contents, Uint8Array.of(1))).toEqual(Uint8Array.of(1));
    expect(await memory().tell(contents, Uint8Array.of(2))).toEqual(Uint8Array.of(1));
  });

  it("a yes that two pushes were told stands for the one that runs while the other is tried again", async () => {
    const contents = new Uint8Array(8).fill(7);
    const reliedOn = async (question: string, isLast: boolean) =>
      (await memory().ask(contents, question, isLast)).relied[0] === 1;
    for (const first of ["one push", "another"]) {
      await reliedOn(first, false);
      await memory().tell(contents, Uint8Array.of(1));
      if (first === "one push") await reliedOn("its last request", true);
    }
    expect(await reliedOn("one push", false)).toBe(true);
    expect(await memory().deny(contents)).toEqual(Uint8Array.of(1));
    // Once the other has ended too, and is tried again, nobody relies on it.
    await reliedOn("its last request", true);
    await reliedOn("another", false);
    expect(await memory().deny(contents)).toEqual(Uint8Array.of(0));
    expect((await memory().ask(contents, "a third", true)).told).toEqual(Uint8Array.of(2));
  });

  it.each([
    ["a push that is tried again, whose earlier answers were forgotten, is not told them after all", "again"],
    ["a push whose first request has been asked and not told goes on, however slow its client is", "slow"],
  ])("even if the object begins anew between its calls: %s", async (_, kind) => {
    const contents = new Uint8Array(8).fill(7);
    const asked = async (question: string) => (await memory().ask(contents, question, false)).told[0];
    const begunAnew = () =>
      runInDurableObject(memory(), (_object, state) => state.abort("a new version")).catch(() => {});
    if (kind === "again") {
      await asked("of the push");
      await memory().tell(contents, Uint8Array.of(1));
      later(61_000);
      expect(await asked("of the push")).toBe(0);
      await begunAnew();
      expect(await memory().tell(contents, Uint8Array.of(2))).toEqual(Uint8Array.of(2));
    } else {
      await asked("the first of the push");
      await begunAnew();
      await memory().tell(contents, Uint8Array.of(2));
      later(61_000);
      expect(await asked("the second of the push")).toBe(2);
    }
  });

  it("is of no concern to another caller, nor after five minutes, nor to requests of one", async () => {
    await askFor(row(5_000));
    await askFor([resource(9_000)]);
    await publish({ held: [keyOf(1), keyOf(9_000)] });
    expect(await matchedPaths(await askWith({}, { resources: [resource(1)] }))).toEqual(["src/1.js"]);
    expect(await askFor([resource(9_000), resource(9_001)])).toEqual(["src/9000.js"]);
    later(6 * 60_000);
    expect(await askFor([resource(1), resource(9_002)])).toEqual(["src/1.js"]);
  });
});

describe("a memory that can't be reached", () => {
  const unreachable = (ask: () => Promise<unknown>) => ({
    PUSH_MEMORY: { getByName: () => ({ ask, tell: ask }) },
  });

  it.each<[string, () => Promise<unknown>]>([
    ["fails", () => Promise.reject(new Error("the object was reset"))],
    ["hangs", () => new Promise(() => {})],
  ])("and %s: the isolate's own counts, the push goes well and the log tells", async (_, ask) => {
    const isolate = { ...env, RESOURCE_CACHE: cacheWithoutKeys, ...unreachable(ask) };
    expect(await askFor(row(5_000), isolate)).toEqual([]);
    await publish({ held: [keyOf(1), keyOf(9_000)] });
    expect(logs).toContainEqual(
      expect.objectContaining({ event: "push-memory-unreachable", method: "tell" }),
    );
  });

  it("is made up for by what the isolate has told itself", async () => {
    const token = await signedToken({ user_id: USER });
    const isolate = { ...env, ...unreachable(() => Promise.reject(new Error("reset"))) };
    const { askWithEnv } = await import("../support/worker.ts");
    expect((await askWithEnv(isolate, { resources: row(5_000) }, { token })).status).toBe(201);
    await publish({ held: [keyOf(1), keyOf(9_000)] });
    const last = await askWithEnv(isolate, { resources: [resource(1), resource(9_000)] }, { token });
    expect(await matchedPaths(last)).toEqual(["src/9000.js"]);
  });
});

describe("the same question again", () => {
  it("forgets what was told before, a minute after the last request of 5,000", async () => {
    expect(await askFor(row(5_000))).toEqual([]);
    await publish({ held: [keyOf(1)] });
    expect(await askFor(row(5_000))).toEqual([]);
    later(61_000);
    expect(await askFor(row(5_000))).toEqual(["src/1.js"]);
  });
});

describe("a caller that pushes for hours, each time with another new file", () => {
  it("is told no more, within minutes, what the pool has lost", async () => {
    await publish({ held: [keyOf(1)] });
    const round = (index: number) => [...row(4_999), resource(6_000 + index)];
    expect(await askFor(round(0))).toEqual(["src/1.js"]);
    await publish({ removed: [resource(1).checksum.value] });
    const contents = Uint8Array.from({ length: 40_000 }, (_, index) => index % 251);
    let told: string[] = ["src/1.js"];
    // A push of another app is always running, so that nothing is forgotten at once.
    for (let minute = 1; minute <= 10; minute++) {
      later(40_000);
      await memory().tell(contents, new Uint8Array(5_000).fill(2));
      told = (await askFor(round(minute))) as string[];
    }
    expect(told).toEqual([]);
  });

  it("is told anew what the pool has won, once no push of it is running", async () => {
    expect(await askFor([...row(4_999), resource(6_000)])).toEqual([]);
    await askFor([resource(9_000)]);
    await publish({ held: [keyOf(1)] });
    later(61_000);
    expect(await askFor([...row(4_999), resource(6_001)])).toEqual(["src/1.js"]);
  });

  it("or within minutes, where the end of the push could not be seen", async () => {
    expect(await askFor([...row(4_999), resource(6_000)])).toEqual([]);
    await publish({ held: [keyOf(1)] });
    later(6 * 60_000 + 1_000);
    expect(await askFor([...row(4_999), resource(6_001)])).toEqual(["src/1.js"]);
  });
});

describe("what a memory keeps", () => {
  it("is nothing after ten minutes", async () => {
    await askFor(row(5_000));
    later(10 * 60_000 + 1);
    await runDurableObjectAlarm(memory());
    const tables = await runInDurableObject(memory(), (_, state) =>
      state.storage.sql
        .exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'tellings'")
        .toArray(),
    );
    expect(tables).toEqual([]);
    expect(await askFor([resource(1)])).toEqual([]);
  });

  it("is on disk before a request of several is answered, and behind the answer where nothing rests on it", async () => {
    const contents = new Uint8Array(8).fill(7);
    const rows = () =>
      runInDurableObject(memory(), (_, { storage: { sql } }) => {
        const names = sql.exec("SELECT name FROM sqlite_master WHERE name = 'questions'").toArray();
        const count = (table: string) => sql.exec(`SELECT * FROM ${table}`).toArray().length;
        return names.length === 0
          ? "no tables"
          : { questions: count("questions"), tellings: count("tellings") };
      });
    await memory().ask(contents, "of a single request", true);
    expect(await rows()).toBe("no tables");
    await vi.waitFor(async () => expect(await rows()).toEqual({ questions: 1, tellings: 0 }), {
      timeout: 5_000,
    });
    await memory().ask(contents, "of one of several", false);
    await memory().tell(contents, Uint8Array.of(1));
    expect(await rows()).toEqual({ questions: 2, tellings: 1 });
  });

  it("is stored once for pushes of one app that come within a minute", async () => {
    for (let push = 0; push < 5; push++) await askFor(row(5_000));
    const rows = await runInDurableObject(memory(), (_, state) =>
      state.storage.sql
        .exec<{ bytes: number }>("SELECT length(yes) + length(no) AS bytes FROM tellings")
        .toArray(),
    );
    expect(rows).toEqual([{ bytes: 40_000 }]);
  });

  it("is less than 4 MB under a client id of a hundred pushes a minute; what has no room is a no, and stays one", async () => {
    const random = () => crypto.getRandomValues(new Uint8Array(40_000));
    const requests = Array.from({ length: 45 }, random);
    const answers = [];
    for (const contents of requests)
      answers.push(await memory().tell(contents, new Uint8Array(5_000).fill(1)));
    for (const [index, contents] of requests.entries()) {
      const { told } = await memory().ask(contents, `question ${index}`, false);
      expect(new Set(told)).toEqual(new Set(answers[index]));
    }
    expect(new Set(answers.at(-1))).toEqual(new Set([2]));
    // At worst all that was told turns out to be wrong.
    for (const contents of [...requests, ...requests]) await memory().revoke(contents);
    const [{ bytes } = { bytes: 0 }] = await runInDurableObject(memory(), (_, state) =>
      state.storage.sql
        .exec<{ bytes: number }>("SELECT SUM(length(yes) + length(no)) AS bytes FROM tellings")
        .toArray(),
    );
    const reliedBytes = 8 * 150_000;
    expect(bytes + reliedBytes).toBeGreaterThan(3_000_000);
    expect(bytes + reliedBytes).toBeLessThan(4_000_000);
    later(7 * 60_000);
    expect(new Set((await memory().ask(requests.at(-1) as Uint8Array, "later", false)).told)).toEqual(
      new Set([0]),
    );
  });
});
