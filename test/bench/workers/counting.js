import worker from "./index.js";

export { Catalog, PushSessions } from "./index.js";

/** The built Worker over a KV that counts. Its clock can be set on, for minutes to pass at once. */
const realNow = Date.now;
let passedMs = 0;
Date.now = () => realNow() + passedMs;

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

/** The Worker keeps what it knows by its env object: it must stay the same. */
let counted;
const countedEnv = (env) => {
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
    if (pathname === "/pass") {
      passedMs += Number(searchParams.get("ms"));
      return new Response();
    }
    if (pathname === "/take-counts") {
      const taken = counts;
      reset();
      return Response.json(taken);
    }
    if (pathname === "/hold") {
      const keys = await request.json();
      await Promise.all(keys.map((key) => env.RESOURCE_CACHE.put(key, "1")));
      return new Response(null, { status: 201 });
    }
    counted ??= countedEnv(env);
    return worker.fetch(request, counted, ctx);
  },
};
