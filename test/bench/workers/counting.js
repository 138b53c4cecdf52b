import worker from "./index.js";

export { Catalog, PushSessions } from "./index.js";

/** The built Worker with a KV that counts calls, and a clock that can be advanced. */
const realNow = Date.now;
let advancedMs = 0;
Date.now = () => realNow() + advancedMs;

const PARTS = "snapshot/";
let counts;
const reset = () => {
  counts = { manifestReads: 0, partReads: 0, bulkReads: 0, keys: 0, others: 0 };
};
reset();

function count(method, names) {
  if (method !== "get") counts.others += 1;
  else if (Array.isArray(names)) {
    counts.bulkReads += 1;
    counts.keys += names.length;
  } else if (names === "manifest") counts.manifestReads += 1;
  else if (names.startsWith(PARTS)) counts.partReads += 1;
  else counts.others += 1;
}

/** One env object for all requests, because the Worker keeps its state per env object. */
let countingEnv;
const createCountingEnv = (env) => {
  const cache = new Proxy(env.RESOURCE_CACHE, {
    get(target, method) {
      if (typeof target[method] !== "function") return target[method];
      return (names, ...rest) => {
        count(method, names);
        return target[method](names, ...rest);
      };
    },
  });
  return { ...env, RESOURCE_CACHE: cache };
};

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/advance-clock") {
      advancedMs += Number(searchParams.get("ms"));
      return new Response();
    }
    if (pathname === "/take-counts") {
      const result = counts;
      reset();
      return Response.json(result);
    }
    if (pathname === "/put-keys") {
      const keys = await request.json();
      await Promise.all(keys.map((key) => env.RESOURCE_CACHE.put(key, "1")));
      return new Response(null, { status: 201 });
    }
    countingEnv ??= createCountingEnv(env);
    return worker.fetch(request, countingEnv, ctx);
  },
};
