import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import type { CurrentManifest } from "../../src/cache/manifest.ts";
import catalogApi from "../../src/catalog/catalog-api.ts?raw";
import { CATALOG_MIGRATIONS } from "../../src/catalog/catalog-storage.ts";
import { NO_MATCH } from "../../src/push-sessions/decisions.ts";
import { PUSH_SESSION_MIGRATIONS } from "../../src/push-sessions/push-sessions.ts";
import pushSessionsApi from "../../src/push-sessions/push-sessions-api.ts?raw";
import { type Migration, migrate } from "../../src/storage/schema.ts";
import { catalog, readManifest, report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { signToken } from "../support/tokens.ts";
import { keyOf, matchedPaths, replaceIsolate, resource, send } from "../support/worker.ts";
import {
  type Call,
  contentsOf,
  PUSH_ID,
  pushSessions,
  type ReleaseData,
  recordRelease,
  repeatCall,
  storeRelease,
} from "./release-data.ts";

const files = import.meta.glob("./fixtures/*.json", { eager: true, import: "default" }) as Record<
  string,
  ReleaseData
>;
const releases = Object.entries(files).map(
  ([path, data]) => [path.replace(/^.*\/|\.json$/g, ""), data] as const,
);

const REQUESTED = [1, 2, 3, 4, 5, 6, 7, 8].map((index) => resource(index));
async function requestMatches() {
  // The test's clock is that of the fixture, but tokens are verified by the real one.
  const token = await signToken({ exp: 4_000_000_000 });
  return matchedPaths(await send({ resources: REQUESTED }, { token }));
}
const pathsOf = (...indexes: number[]) => indexes.map((index) => `src/${index}.js`);

/** Columns and indexes of the tables of both objects, and the state of the catalog. */
async function schemas() {
  const read = (stub: DurableObjectStub) =>
    runInDurableObject(stub as never, (_: unknown, { storage: { sql } }: DurableObjectState) => {
      const columns = `SELECT t.name AS "table", c.name, c.type, c."notnull", c.pk
        FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE '\\_%' ESCAPE '\\'
        ORDER BY 1, 2`;
      const indexes = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index' ORDER BY 1";
      return [...sql.exec(columns), ...sql.exec(indexes)];
    });
  const state = await runInDurableObject(catalog(), (_: unknown, { storage }) =>
    JSON.parse(storage.sql.exec<{ value: string }>("SELECT value FROM catalog_state").one().value),
  );
  return { tables: await Promise.all([read(catalog()), read(pushSessions())]), state };
}

/** Methods of the interface in a source, and their number of required parameters. */
function methodsOf(object: Call["object"], source: string) {
  const [, members = ""] = /^export interface \w+Api \{\n(.*?)^\}/ms.exec(source) ?? [];
  return [...members.matchAll(/^ {2}(\w+)\((.*?)\): Promise/gms)].map(([, method, parameters = ""]) => ({
    object,
    method,
    required: parameters.match(/\b\w+:/g)?.length ?? 0,
  }));
}

/** Paths of the parts of `expected` that `actual` lacks or has with another type. Null matches anything. */
function differencesOf(expected: unknown, actual: unknown, path = ""): string[] {
  if (actual === undefined) return [path];
  if (expected === null || actual === null) return [];
  if (typeof expected !== typeof actual || Array.isArray(expected) !== Array.isArray(actual)) return [path];
  if (typeof expected !== "object" || typeof actual !== "object") return [];
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return expected.length > 0 && actual.length > 0 ? differencesOf(expected[0], actual[0], `${path}[]`) : [];
  }
  return Object.entries(expected).flatMap(([name, part]) =>
    differencesOf(part, (actual as Record<string, unknown>)[name], `${path}.${name}`),
  );
}

beforeEach(async () => {
  await reset();
  replaceIsolate();
});
afterEach(() => vi.restoreAllMocks());

// Writes the file if it is missing, except in CI.
it("has a fixture of this version", async () => {
  if (files[`./fixtures/${manifest.version}.json`]) return;
  const data = `${JSON.stringify(await recordRelease(), undefined, 2)}\n`;
  await expect(data).toMatchFileSnapshot(`fixtures/${manifest.version}.json`);
});

describe.each(releases)("the data of %s", (_, data: ReleaseData) => {
  beforeEach(() => storeRelease(data));

  it("has a catalog that this version continues: it lists, records and publishes", async () => {
    const { entries } = await catalog().status();
    expect((await catalog().page()).resources).toEqual([3, 4, 5, 7, 8].map(keyOf));
    expect(entries).toBe(5);
    const { revision } = (await readManifest()) as CurrentManifest;

    advanceClock(20_000 + data.recordedAt - Date.now());
    await report({ present: [keyOf(1)], removed: [keyOf(3).slice(0, 40)] });
    await runAlarm();
    const published = (await readManifest()) as CurrentManifest;
    expect(published.revision).toBeGreaterThan(revision);
    expect(published).toMatchObject({ state: "current", suspendedUntil: null });
    expect(await requestMatches()).toEqual(pathsOf(1, 4, 5, 7, 8));
  });

  it("gets the tables, indexes and state that a new installation has", async () => {
    await Promise.all([catalog().status(), pushSessions().inspect("", "00000000000000aa", "request-7")]);
    const upgraded = await schemas();
    await reset();
    await recordRelease();
    const created = await schemas();
    expect(upgraded.tables).toEqual(created.tables);
    expect(differencesOf(created.state, upgraded.state, "state")).toEqual([]);
  });

  it("has a cache from which this version matches what is present, and not what was removed", async () => {
    expect(await requestMatches()).toEqual(pathsOf(3, 4, 5, 7, 8));
  });

  it("has push sessions whose decisions this version keeps", async () => {
    const ids = [PUSH_ID, "00000000000000aa", "request-7"] as const;
    const decided = await pushSessions().decide(
      ...ids,
      contentsOf(1, 2, 3, 9),
      new Uint8Array([2, 1, 2, 1]),
      false,
    );
    expect(decided).toMatchObject({ decisions: new Uint8Array([1, NO_MATCH, 1, 1]) });
  });

  // A rollback, or a gradual deployment in which the object returns to this version.
  it("is used as before after a later version has added columns and tables", async () => {
    const addTo = (...tables: string[]): Migration => ({
      usableFrom: 1,
      run: (sql) => {
        for (const table of tables) sql.exec(`ALTER TABLE ${table} ADD later TEXT`);
        sql.exec("CREATE TABLE added_later (a INTEGER)");
      },
    });
    const tables = ["resources", "tombstones", "published_objects", "catalog_state"];
    await runInDurableObject(catalog(), (_: unknown, { storage }) =>
      migrate(storage.sql, [...CATALOG_MIGRATIONS, addTo(...tables)]),
    );
    await runInDurableObject(pushSessions(), (_: unknown, { storage }) =>
      migrate(storage.sql, [...PUSH_SESSION_MIGRATIONS, addTo("sessions", "decisions", "requests")]),
    );
    await Promise.all([evictDurableObject(catalog()), evictDurableObject(pushSessions())]);

    advanceClock(20_000 + data.recordedAt - Date.now());
    await report({ present: [keyOf(1)], removed: [keyOf(3).slice(0, 40)] });
    await runAlarm();
    expect(await requestMatches()).toEqual(pathsOf(1, 4, 5, 7, 8));
    const ids = [PUSH_ID, "00000000000000aa", "request-7"] as const;
    const decided = await pushSessions().decide(...ids, contentsOf(1), new Uint8Array([NO_MATCH]), false);
    expect(decided).toMatchObject({ decisions: new Uint8Array([1]) });
  });

  it("has each method that this version calls, with as many parameters", () => {
    const methods = [...methodsOf("catalog", catalogApi), ...methodsOf("pushSessions", pushSessionsApi)];
    expect(methods).toHaveLength(8);
    for (const { object, method, required } of methods) {
      const counts = data.calls
        .filter((call) => call.object === object && call.method === method)
        .map(({ args }) => args.length);
      expect({ method, counts }).toEqual({ method, counts: expect.arrayContaining([required]) });
    }
  });

  it("has calls that this version understands, with results that the release understands", async () => {
    for (const call of data.calls) {
      expect(differencesOf(call.result, await repeatCall(call), call.method)).toEqual([]);
    }
  });
});
