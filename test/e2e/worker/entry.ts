/**
 * The Worker, with commands below `/__test/` for what a test can't do from outside: inject faults, move the clock, replace the
 * isolate, restart objects, read the catalog's status, and write blobs and events of the bucket.
 */
import worker, { Catalog as RealCatalog, PushSessions as RealPushSessions } from "../../../src/index.ts";
import { TIMEOUT_MS } from "../../../src/time/time-guarantees.ts";
import type { Fault } from "../fault.ts";
import { advanceClock, followClock } from "./clock.ts";
import { counts, faultyCache, faultyCatalog } from "./faulty-bindings.ts";

interface TestEnv {
  RESOURCE_CACHE: KVNamespace;
  CATALOG: DurableObjectNamespace<Catalog>;
  PUSH_SESSIONS: DurableObjectNamespace<PushSessions>;
  POOL_BUCKET?: R2Bucket;
  /** The queue of the bucket's events, which the test sends in place of R2. */
  EVENTS?: Queue;
}

const COMMANDS = "/__test";

// A busy machine may take longer than a request waits.
TIMEOUT_MS.pushSessions = 10_000;

let fault: Fault | undefined;
const getFault = () => fault;
let handledEvents = 0;
/** The env object of the current isolate: the Worker keeps its state by this object. */
let isolateEnv: object | undefined;

function withFaults(env: TestEnv): object {
  isolateEnv ??= {
    ...env,
    RESOURCE_CACHE: faultyCache(env.RESOURCE_CACHE, getFault),
    CATALOG: faultyCatalog(env.CATALOG, getFault),
  };
  return isolateEnv;
}

export class Catalog extends RealCatalog {
  constructor(ctx: DurableObjectState, env: TestEnv) {
    followClock(ctx.storage);
    super(ctx, { ...env, RESOURCE_CACHE: faultyCache(env.RESOURCE_CACHE, getFault) });
  }

  /** Moves the pending alarm ahead, before the clock is moved. */
  async moveAlarm(ms: number): Promise<void> {
    const time = await this.ctx.storage.getAlarm();
    if (time !== null) await this.ctx.storage.setAlarm(time - ms);
  }

  /** Restarts the object, in the middle of its work. */
  async restart(): Promise<void> {
    this.ctx.abort();
  }
}

export class PushSessions extends RealPushSessions {
  constructor(ctx: DurableObjectState, env: TestEnv) {
    followClock(ctx.storage);
    super(ctx, env);
  }

  /** Restarts the object: it loses what it has not stored. */
  async restart(): Promise<void> {
    this.ctx.abort();
  }
}

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith(`${COMMANDS}/`)) return worker.fetch(request, withFaults(env), ctx);
    return runCommand(request, pathname.slice(COMMANDS.length), env);
  },
  async queue(batch, env): Promise<void> {
    await worker.queue(batch, withFaults(env));
    handledEvents += batch.messages.length;
  },
} satisfies ExportedHandler<TestEnv>;

async function runCommand(request: Request, path: string, env: TestEnv): Promise<Response> {
  const [, name, rest = ""] = /^\/(\w+)(?:\/(.+))?$/.exec(path) ?? [];
  const catalog = env.CATALOG.getByName("catalog");
  switch (`${request.method} ${name}`) {
    case "PUT fault":
      fault = await request.json();
      counts.injectedFaults = 0;
      return new Response();
    case "DELETE fault":
      fault = undefined;
      return new Response();
    case "DELETE isolate":
      isolateEnv = undefined;
      return new Response();
    case "POST time":
      // The alarm is moved by the clock that it was set by.
      await catalog.moveAlarm(Number(rest));
      advanceClock(Number(rest));
      return new Response();
    case "GET keys":
      return Response.json(await countKeys(env.RESOURCE_CACHE));
    case "GET counts":
      return Response.json({ ...counts, handledEvents });
    case "GET catalog":
      return Response.json(await catalog.status());
    case "DELETE catalog":
      await catalog.restart().catch(() => {});
      return new Response();
    case "DELETE session":
      await env.PUSH_SESSIONS.getByName(rest)
        .restart()
        .catch(() => {});
      return new Response();
    case "POST snapshot":
      await catalog.publish();
      return new Response();
    case "PUT blob":
      await env.POOL_BUCKET?.put(rest, await request.arrayBuffer());
      return new Response();
    case "DELETE blob":
      await env.POOL_BUCKET?.delete(rest);
      return new Response();
    case "POST event":
      await env.EVENTS?.send(await request.json());
      return new Response();
    default:
      return new Response("no such command", { status: 404 });
  }
}

async function countKeys(cache: KVNamespace): Promise<number> {
  let [count, cursor]: [number, string | null] = [0, null];
  for (;;) {
    const page: KVNamespaceListResult<unknown> = await cache.list({ cursor });
    count += page.keys.filter(({ name }) => /^[0-9a-f]{40}:\d+$/.test(name)).length;
    if (page.list_complete) return count;
    cursor = page.cursor;
  }
}
