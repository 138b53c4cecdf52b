import type { Miniflare } from "miniflare";
import type { Modules } from "./bundle.ts";
import { childrenNamed, type Usage, usageOf } from "./processes.ts";
import { PROJECT_ROOT } from "./project-root.ts";

/** A Worker in its own workerd. Clients connect to workerd directly, so that no proxy corrects their requests. */
export interface Workerd {
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** The RESOURCE_CACHE. The call starts a thread. */
  kv(): ReturnType<Miniflare["getKVNamespace"]>;
  /** The Worker's log lines, parsed. */
  lines: Record<string, unknown>[];
  /** Of the workerd process; undefined without /proc. */
  pid: number | undefined;
  /** The usage of the workerd process. */
  usage(): Usage;
  stop(): Promise<void>;
}

export interface WorkerdOptions {
  modules: Modules;
  /** All variables of the Worker. */
  variables: Record<string, string>;
  /** Whether the main module exports the Durable Object classes; default: true. */
  hasObjects?: boolean;
  /** Whether POOL_BUCKET is bound and its event queue consumed; default: false. */
  hasBucket?: boolean;
  /** Gets each log line instead of `lines`. */
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
// The local R2 sends no events: tests send them to this queue.
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

/** Starts a Worker with an empty KV and an empty catalog. */
export async function startWorkerd({
  modules,
  variables,
  hasObjects = true,
  hasBucket = false,
  onLine,
}: WorkerdOptions): Promise<Workerd> {
  const lines: Workerd["lines"] = [];
  const collect = (line: string) => {
    if (line.startsWith("{")) lines.push(JSON.parse(line));
  };
  const text = (value: string) => ({ type: "text", value }) as const;
  // Loaded here because it takes a second, and a command should report wrong options first.
  const { Miniflare } = await import("miniflare");
  const miniflare = new Miniflare({
    cf: false,
    handleStructuredLogs: ({ message }) => (onLine ?? collect)(message),
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
    pid,
    usage: () => usageOf(pid),
    stop: () => miniflare.dispose(),
  };
}
