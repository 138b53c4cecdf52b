import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { PROJECT_ROOT } from "../support/node/worker-process.ts";

/** The Worker in a workerd of its own, whose socket is the client's: nothing stands between that mends a request. */
export interface DirectWorker {
  host: string;
  port: number;
  url: string;
  /** What the Worker has logged, a line an object. */
  lines: Record<string, unknown>[];
  /**
   * Sends bytes as they are, and returns what comes back until the other side ends, or `patienceMs` have passed.
   *
   * @param options.gone after how many ms the client gives up, and whether it ends the connection or resets it
   */
  send(bytes: string | Uint8Array, options?: SendOptions): Promise<string>;
  /** Of workerd, as the kernel counts them; NaN where there is no /proc. */
  residentBytes(): number;
  stop(): Promise<void>;
}

export interface SendOptions {
  patienceMs?: number;
  gone?: { afterMs: number; by: "end" | "reset" };
}

const PATIENCE_MS = 5_000;
const COMPATIBILITY_DATE = "2026-10-01";
const ENTRY = "index.js";
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
/** As the entry names it, beside it. */
const MODULE = "module.wasm";

export interface DirectWorkerOptions {
  /** Of the Worker, all of them. */
  variables: Record<string, string>;
  /** Its source, below the project. */
  entry?: string;
  /** Whether POOL_BUCKET is bound, and the queue consumed that tells of it. */
  bucket?: boolean;
  /** Gets each line that the Worker logs. */
  onLine?: (line: string) => void;
}

export async function startDirectWorker({
  variables,
  entry = "src/index.ts",
  bucket = false,
  onLine = () => {},
}: DirectWorkerOptions): Promise<DirectWorker> {
  const { outputFiles } = await build({
    entryPoints: [join(PROJECT_ROOT, entry)],
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "*.wasm"],
    write: false,
  });
  const lines: Record<string, unknown>[] = [];
  const object = (exportName: string) => ({ type: "durable-object", worker: "direct", exportName }) as const;
  const text = (value: string) => ({ type: "text", value }) as const;
  const miniflare = new Miniflare({
    cf: false,
    handleStructuredLogs: ({ message }) => {
      if (message.startsWith("{")) lines.push(JSON.parse(message));
      onLine(message);
    },
    workers: [
      {
        config: {
          name: "direct",
          compatibilityDate: COMPATIBILITY_DATE,
          manifest: {
            mainModule: ENTRY,
            modulesRoot: PROJECT_ROOT,
            modules: {
              [ENTRY]: { type: "esm", contents: outputFiles[0]?.text ?? "" },
              [MODULE]: { type: "wasm", contents: readFileSync(join(PROJECT_ROOT, "src/bytes", MODULE)) },
            },
          },
          env: {
            ...Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, text(value)])),
            RESOURCE_CACHE: { type: "kv", id: "cache" },
            CATALOG: object("Catalog"),
            PUSH_MEMORY: object("PushMemory"),
            ...(bucket ? BUCKET_AND_EVENTS : {}),
          },
          triggers: bucket ? [CONSUMER] : [],
          exports: {
            Catalog: { type: "durable-object", storage: "sqlite" },
            PushMemory: { type: "durable-object", storage: "sqlite" },
          },
        },
        dev: { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] },
      },
    ],
  });
  const before = new Set(workerds());
  await miniflare.ready;
  const pid = workerds().find((each) => !before.has(each));
  const { hostname: host, port } = await miniflare.unsafeGetDirectURL();
  return {
    host,
    port: Number(port),
    url: `http://${host}:${port}`,
    lines,
    send: (bytes, options) => send({ host, port: Number(port) }, bytes, options),
    residentBytes: () => Number(/^VmRSS:\s+(\d+) kB$/m.exec(statusOf(pid))?.[1]) * 1024,
    stop: () => miniflare.dispose(),
  };
}

/** The processes of workerd that this process has started. */
function workerds(): string[] {
  if (process.platform !== "linux") return [];
  const parent = new RegExp(`^PPid:\\s+${process.pid}$`, "m");
  const isOurs = (status: string) => status.startsWith("Name:\tworkerd\n") && parent.test(status);
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isOurs(statusOf(name)));
}

function statusOf(pid: string | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

async function send(
  address: { host: string; port: number },
  bytes: string | Uint8Array,
  { patienceMs = PATIENCE_MS, gone }: SendOptions = {},
): Promise<string> {
  const socket = connect({ ...address, allowHalfOpen: true });
  const received: Buffer[] = [];
  const ended = new Promise<void>((resolve) => {
    socket.on("data", (data) => received.push(data));
    socket.on("end", resolve);
    socket.on("error", () => resolve());
  });
  socket.write(bytes);
  if (gone) await Promise.race([ended, pause(gone.afterMs)]);
  if (gone?.by === "end") socket.end();
  if (gone?.by === "reset") socket.resetAndDestroy();
  else await Promise.race([ended, pause(patienceMs, undefined, { ref: false })]);
  socket.destroy();
  return Buffer.concat(received).toString();
}
