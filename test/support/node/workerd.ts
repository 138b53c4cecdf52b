import type { Miniflare } from "miniflare";
import type { Modules } from "./bundle.ts";
import { childrenNamed, type Usage, usageOf } from "./processes.ts";
import { PROJECT_ROOT } from "./project-root.ts";

/** A Worker in a workerd of its own, whose socket is the client's: nothing stands between that mends a request. */
export interface Workerd {
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** Its RESOURCE_CACHE. To ask for it starts a thread. */
  kv(): ReturnType<Miniflare["getKVNamespace"]>;
  /** What the Worker has logged, a line an object. */
  lines: Record<string, unknown>[];
  /** Of workerd. */
  usage(): Usage;
  stop(): Promise<void>;
}

export interface WorkerdOptions {
  modules: Modules;
  /** Of the Worker, all of them. */
  variables: Record<string, string>;
  /** Whether its main module has the two classes of Durable Objects; default: true. */
  hasObjects?: boolean;
  /** Whether POOL_BUCKET is bound, and the queue consumed that tells of it; default: false. */
  hasBucket?: boolean;
  /** Gets each line that the Worker logs, in place of `lines`. */
  onLine?: (line: string) => void;
}

const COMPATIBILITY_DATE = "2026-10-01";
const NAME = "resource-matches";
const object = (exportName: string) => ({ type: "durable-object", worker: NAME, exportName }) as const;
const OBJECTS = { CATALOG: object("Catalog"), PUSH_SESSIONS: object("PushSessions") };
const CLASSES = {
  Catalog: { type: "durable-object", storage: "sqlite" },
  PushSessions: { type: "durable-object", storage: "sqlite" },
} as const;
// The local bucket tells nobody of its changes: the producer is the test's own, in R2's place.
const QUEUE = "resource-pool-changes";
const BUCKET_AND_EVENTS = {
  POOL_BUCKET: { type: "r2", name: "resource-pool" },
  EVENTS: { type: "queue", name: QUEUE },
} as const;
const CONSUMER = {
  type: "queue",
  name: QUEUE,
  maxBatchSize: 100,
  maxBatchTimeout: 0,
  maxRetries: 3,
  maxConcurrency: 1,
} as const;

/** Starts a Worker with an empty KV, and an empty catalog of its own. */
export async function startWorkerd({
  modules,
  variables,
  hasObjects = true,
  hasBucket = false,
  onLine,
}: WorkerdOptions): Promise<Workerd> {
  const lines: Workerd["lines"] = [];
  const keep = (line: string) => {
    if (line.startsWith("{")) lines.push(JSON.parse(line));
  };
  const text = (value: string) => ({ type: "text", value }) as const;
  // Loaded only here: it takes a second, for which no wrong option of a command should wait.
  const { Miniflare } = await import("miniflare");
  const miniflare = new Miniflare({
    cf: false,
    handleStructuredLogs: ({ message }) => (onLine ?? keep)(message),
    workers: [
      {
        config: {
          name: NAME,
          compatibilityDate: COMPATIBILITY_DATE,
          manifest: { mainModule: Object.keys(modules)[0] ?? "", modulesRoot: PROJECT_ROOT, modules },
          env: {
            ...Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, text(value)])),
            RESOURCE_CACHE: { type: "kv", id: "cache" },
            ...(hasObjects ? OBJECTS : {}),
            ...(hasBucket ? BUCKET_AND_EVENTS : {}),
          },
          triggers: hasBucket ? [CONSUMER] : [],
          exports: hasObjects ? CLASSES : {},
        },
        dev: { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] },
      },
    ],
  });
  const before = new Set(childrenNamed("workerd"));
  await miniflare.ready;
  const pid = childrenNamed("workerd").find((each) => !before.has(each));
  return {
    url: (await miniflare.unsafeGetDirectURL()).origin,
    kv: () => miniflare.getKVNamespace("RESOURCE_CACHE"),
    lines,
    usage: () => usageOf(pid),
    stop: () => miniflare.dispose(),
  };
}
