/**
 * The Worker as it is, and beside it the test's own hand on what can't be reached from outside: faults of KV, how
 * many keys there are, blobs and events of the bucket, an isolate that begins afresh. Below `/__test/`.
 */
import worker from "../../../src/index.ts";
import { parseCacheKey } from "../../../src/resource-pool/resource-key.ts";
import type { CacheFault } from "../cache-fault.ts";
import { faultyCache } from "./faulty-cache.ts";

interface TestEnv {
  RESOURCE_CACHE: KVNamespace;
  POOL_BUCKET?: R2Bucket;
  POOL_CHANGES?: Queue;
}

const CONTROL = "/__test";

let fault: CacheFault | undefined;
/** One for many requests: the Worker keeps its state by it. */
let environment: TestEnv | undefined;

function withFaults(env: TestEnv): TestEnv {
  environment ??= { ...env, RESOURCE_CACHE: faultyCache(env.RESOURCE_CACHE, () => fault) };
  return environment;
}

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith(`${CONTROL}/`)) return worker.fetch(request, withFaults(env), ctx);
    return control(request, pathname.slice(CONTROL.length), env);
  },
  queue: (batch, env) => worker.queue(batch, withFaults(env)),
  scheduled: (controller, env) => worker.scheduled(controller, withFaults(env)),
} satisfies ExportedHandler<TestEnv>;

async function control(request: Request, path: string, env: TestEnv): Promise<Response> {
  const [, name, objectKey] = /^\/(\w+)(?:\/(.+))?$/.exec(path) ?? [];
  switch (`${request.method} ${name}`) {
    case "PUT fault":
      fault = await request.json();
      return new Response();
    case "DELETE fault":
      fault = undefined;
      return new Response();
    case "DELETE isolate":
      environment = undefined;
      return new Response();
    case "GET keys":
      return Response.json({ keys: await countKeys(env.RESOURCE_CACHE) });
    case "POST snapshot":
      await worker.scheduled({ scheduledTime: Date.now(), cron: "", noRetry() {} }, env);
      return new Response();
    case "PUT bucket": {
      const object = await env.POOL_BUCKET?.put(objectKey ?? "", await request.arrayBuffer());
      await tell(env, "PutObject", { key: objectKey, size: object?.size, eTag: object?.etag });
      return new Response();
    }
    case "DELETE event":
      await tell(env, "DeleteObject", { key: objectKey });
      return new Response();
    case "DELETE bucket":
      await env.POOL_BUCKET?.delete(objectKey ?? "");
      await tell(env, "DeleteObject", { key: objectKey });
      return new Response();
    default:
      return new Response("no such command", { status: 404 });
  }
}

/** As R2 does, which the local one does not. */
async function tell(env: TestEnv, action: string, object: object): Promise<void> {
  const event = { account: "account", bucket: "resource-pool", eventTime: new Date().toISOString() };
  await env.POOL_CHANGES?.send({ ...event, action, object });
}

async function countKeys(cache: KVNamespace): Promise<number> {
  let [count, cursor]: [number, string | null] = [0, null];
  for (;;) {
    const page: KVNamespaceListResult<unknown> = await cache.list({ cursor });
    count += page.keys.filter(({ name }) => parseCacheKey(name, "") !== undefined).length;
    if (page.list_complete) return count;
    cursor = page.cursor;
  }
}
