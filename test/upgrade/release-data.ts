import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { base64url } from "jose";
import { toHex } from "../../src/resources/sha1.ts";
import { catalog, report, runAlarm } from "../support/catalog.ts";
import { advanceClock } from "../support/clock.ts";
import { keyOf } from "../support/worker.ts";

/** What a version of the Worker stores, and how it calls its objects. */
export interface ReleaseData {
  /** ms since the epoch. */
  recordedAt: number;
  /** SQL that creates the tables of the catalog with their rows. */
  catalog: string[];
  /** The same of the push sessions of `CALLER`. */
  pushSessions: string[];
  /** Values in Workers KV, in base64url. */
  cache: Record<string, string>;
  calls: Call[];
}

export interface Call {
  object: "catalog" | "pushSessions";
  method: string;
  args: unknown[];
  result: unknown;
}

export const CALLER = "caller";
export const PUSH_ID = "0123456789abcdef0123456789abcdef";
export const pushSessions = () => env.PUSH_SESSIONS.getByName(CALLER);

const sha1Of = (index: number) => keyOf(index).slice(0, 40);
/** Contents as push sessions store them, 8 bytes each. */
export const contentsOf = (...numbers: number[]) =>
  new Uint8Array(numbers.flatMap((number) => [number, 0, 0, 0, 0, 0, 0, 0]));

/** Uses the Worker's objects: resources in each state, a snapshot with a delta, an identified and an unidentified push. */
export async function recordRelease(): Promise<ReleaseData> {
  const calls: Call[] = [];
  const call = async (object: Call["object"], method: string, ...args: unknown[]) =>
    calls.push({
      object,
      method,
      args: toJson(args),
      result: toJson(await callObject(object, method, args)),
    });

  await report({ present: [1, 2, 3, 4, 5].map(keyOf), removed: [sha1Of(6)] });
  await runAlarm();
  advanceClock(20_000);
  const asOf = Date.now();
  await call("catalog", "observe", { asOf, sizes: "verified", present: [keyOf(7)], removed: [sha1Of(1)] });
  await call("catalog", "observe", { asOf, sizes: "client-reported", present: [keyOf(8)] });
  await call("catalog", "reportRejections", { asOf, verified: 3, rejected: [sha1Of(2)] });
  await call("catalog", "page");
  await call("catalog", "page", sha1Of(4));
  await call("catalog", "status");
  await runAlarm();

  const found = new Uint8Array([1, 2, 1]);
  await call("pushSessions", "inspect", "", "000000000000000a", "request-1");
  await call(
    "pushSessions",
    "decide",
    PUSH_ID,
    "000000000000000b",
    "request-2",
    contentsOf(1, 2, 3),
    found,
    false,
  );
  await call(
    "pushSessions",
    "decide",
    "",
    "000000000000000c",
    "request-3",
    contentsOf(3, 4, 5),
    found,
    false,
  );
  await call(
    "pushSessions",
    "decide",
    "",
    "000000000000000c",
    "request-4",
    contentsOf(3, 4, 5),
    found,
    false,
  );
  await call("pushSessions", "inspect", PUSH_ID, "000000000000000d", "request-5");
  await call(
    "pushSessions",
    "decide",
    PUSH_ID,
    "000000000000000e",
    "request-6",
    contentsOf(6),
    found.slice(2),
    true,
  );

  const data = {
    recordedAt: Date.now(),
    catalog: await runInDurableObject(catalog(), (_, { storage }) => dumpTables(storage.sql)),
    pushSessions: await runInDurableObject(pushSessions(), (_, { storage }) => dumpTables(storage.sql)),
    cache: await dumpCache(),
  };
  // The last calls, because they change what is stored.
  await call("catalog", "publish");
  await call("catalog", "forget");
  return { ...data, calls };
}

/** Stores the data of a release, and sets the clock to the time at which it was recorded. */
export async function storeRelease(data: ReleaseData): Promise<void> {
  advanceClock(data.recordedAt - Date.now());
  for (const [name, value] of Object.entries(data.cache)) {
    await env.RESOURCE_CACHE.put(name, base64url.decode(value));
  }
  for (const [stub, statements] of [
    [catalog(), data.catalog],
    [pushSessions(), data.pushSessions],
  ] as const) {
    await runInDurableObject<never, void>(stub as never, async (_, { storage }) => {
      await storage.deleteAll();
      for (const statement of statements) storage.sql.exec(statement);
    });
    // Its next instance finds the tables.
    await evictDurableObject(stub as never);
  }
}

/** Repeats a call of a release. */
export const repeatCall = async ({ object, method, args }: Call) =>
  toJson(await callObject(object, method, args.map(fromJson)));

async function callObject(
  object: Call["object"],
  method: string,
  args: readonly unknown[],
): Promise<unknown> {
  const stub = object === "catalog" ? catalog() : pushSessions();
  return (stub as unknown as Record<string, (...args: readonly unknown[]) => unknown>)[method]?.(...args);
}

function dumpTables(sql: SqlStorage): string[] {
  const query =
    "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '\\_%' ESCAPE '\\'";
  const created = sql.exec<{ name: string; sql: string }>(query).toArray();
  const rows = created.flatMap(({ name, sql: statement }) =>
    statement.startsWith("CREATE TABLE")
      ? [...sql.exec(`SELECT * FROM ${name}`).raw()].map(
          (row) => `INSERT INTO ${name} VALUES (${[...row].map(toLiteral).join(", ")})`,
        )
      : [],
  );
  // Comments and line breaks of the source are no difference.
  const statements = created.map((each) => each.sql.replaceAll(/\s*--.*\n|\s+/g, " "));
  return [...statements, ...rows];
}

function toLiteral(value: SqlStorageValue): string {
  if (value === null || typeof value === "number") return String(value);
  return typeof value === "string"
    ? `'${value.replaceAll("'", "''")}'`
    : `x'${toHex(new Uint8Array(value))}'`;
}

async function dumpCache(): Promise<Record<string, string>> {
  const { keys } = await env.RESOURCE_CACHE.list();
  const values = keys.map(async ({ name }) => {
    const value = await env.RESOURCE_CACHE.get(name, "arrayBuffer");
    return [name, base64url.encode(new Uint8Array(value ?? new ArrayBuffer()))];
  });
  return Object.fromEntries(await Promise.all(values));
}

/** JSON in which bytes are `{ "bytes": "<hex>" }`, and undefined is null. */
function toJson<T>(value: T): T {
  const withBytes = (_: string, part: unknown) =>
    part instanceof Uint8Array ? { bytes: toHex(part) } : part;
  return JSON.parse(JSON.stringify(value ?? null, withBytes));
}

function fromJson(value: unknown): unknown {
  const bytes = (value as { bytes?: string } | null)?.bytes;
  return bytes === undefined
    ? value
    : Uint8Array.from(bytes.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
