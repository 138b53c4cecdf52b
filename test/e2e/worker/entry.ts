/**
 * The Worker and its catalog as they are, and beside them the test's own hand on what can't be reached from outside:
 * faults, the clock, the catalog's status, blobs and events of the bucket, an isolate that begins afresh. Below
 * `/__test/`.
 */
import worker, { Catalog as RealCatalog, PushSessions as RealPushSessions } from "../../../src/index.ts";
import { TIMEOUT_MS } from "../../../src/time/time-guarantees.ts";
import type { Fault } from "../fault.ts";
import { advanceClock, followClock } from "./clock.ts";
import { counts, faultyCache, faultyObjects } from "./faulty-bindings.ts";

interface TestEnv {
  RESOURCE_CACHE: KVNamespace;
  CATALOG: DurableObjectNamespace<Catalog>;
  PUSH_SESSIONS: DurableObjectNamespace<PushSessions>;
  POOL_BUCKET?: R2Bucket;
  /** The hand that tells of the bucket's changes, as R2 does. */
  EVENTS?: Queue;
}

const CONTROL = "/__test";

// A busy machine takes its time over what an answer would not wait for.
TIMEOUT_MS.pushSessions = 10_000;

let fault: Fault | undefined;
const currentFault = () => fault;
let handledEvents = 0;
/** One for many requests: the Worker keeps its state by it. */
let environment: object | undefined;

function withFaults(env: TestEnv): object {
  environment ??= {
    ...env,
    RESOURCE_CACHE: faultyCache(env.RESOURCE_CACHE, currentFault),
    CATALOG: faultyObjects(env.CATALOG, "observe", currentFault),
    PUSH_SESSIONS: faultyObjects(env.PUSH_SESSIONS, "remember", currentFault),
  };
  return environment;
}

export class Catalog extends RealCatalog {
  constructor(ctx: DurableObjectState, env: TestEnv) {
    followClock(ctx.storage);
    super(ctx, { ...env, RESOURCE_CACHE: faultyCache(env.RESOURCE_CACHE, currentFault) });
  }

  /** The alarm that was set before time passed at once. */
  async moveAlarm(ms: number): Promise<void> {
    const time = await this.ctx.storage.getAlarm();
    if (time !== null) await this.ctx.storage.setAlarm(time - ms);
  }

  /** Ends the object in the middle of whatever it does. */
  async end(): Promise<void> {
    this.ctx.abort();
  }
}

export class PushSessions extends RealPushSessions {
  constructor(ctx: DurableObjectState, env: TestEnv) {
    followClock(ctx.storage);
    super(ctx, env);
  }

  /** Ends the object: what it knows from now on is what it has stored. */
  async end(): Promise<void> {
    this.ctx.abort();
  }
}

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith(`${CONTROL}/`)) return worker.fetch(request, withFaults(env), ctx);
    return control(request, pathname.slice(CONTROL.length), env);
  },
  async queue(batch, env): Promise<void> {
    await worker.queue(batch, withFaults(env));
    handledEvents += batch.messages.length;
  },
} satisfies ExportedHandler<TestEnv>;

async function control(request: Request, path: string, env: TestEnv): Promise<Response> {
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
      environment = undefined;
      return new Response();
    case "POST time":
      // The alarm first, which is told by the clock as it was when it was set.
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
      await catalog.end().catch(() => {});
      return new Response();
    case "DELETE session":
      await env.PUSH_SESSIONS.getByName(rest)
        .end()
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
