import worker from "./index.js";

export { Catalog, PushSessions } from "./index.js";

/**
 * The built Worker behind bindings and a UAA that take time. It records the calls of each request, and can replace its isolate and
 * advance its clock.
 */
const realNow = Date.now;
let advancedMs = 0;
Date.now = () => realNow() + advancedMs;

let latencyMs = { kv: 0, uaa: 0, object: 0 };
let calls = [];
let requestedAt = 0;

async function record(name, ms, call) {
  const recorded = { name, start: realNow() - requestedAt };
  calls.push(recorded);
  await scheduler.wait(ms);
  const result = await call();
  recorded.end = realNow() - requestedAt;
  return result;
}

const realFetch = globalThis.fetch;
globalThis.fetch = (input, init) => record("UAA's keys", latencyMs.uaa, () => realFetch(input, init));

const nameOf = (names) => (Array.isArray(names) ? "keys" : names.replace(/\/.*/, ""));
const createIsolateEnv = (env) => ({
  ...env,
  RESOURCE_CACHE: {
    get: (names, options) =>
      record(nameOf(names), latencyMs.kv, async () => env.RESOURCE_CACHE.get(names, options)),
    put() {},
    delete() {},
  },
  PUSH_SESSIONS: {
    getByName(caller) {
      const stub = env.PUSH_SESSIONS.getByName(caller);
      const method =
        (name) =>
        (...parameters) =>
          record(name, latencyMs.object, async () => stub[name](...parameters));
      return { inspect: method("inspect"), decide: method("decide") };
    },
  },
});
let isolateEnv;

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case "/set-latency":
        latencyMs = Object.fromEntries([...searchParams].map(([name, ms]) => [name, Number(ms)]));
        return new Response();
      case "/replace-isolate":
        isolateEnv = undefined;
        return new Response();
      case "/advance-clock":
        advancedMs += Number(searchParams.get("ms"));
        return new Response();
      case "/take-calls": {
        const taken = calls;
        calls = [];
        return Response.json(taken);
      }
      default:
        isolateEnv ??= createIsolateEnv(env);
        requestedAt = realNow();
        return worker.fetch(request, isolateEnv, ctx);
    }
  },
};
