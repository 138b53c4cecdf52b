import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Miniflare } from "miniflare";
import { POINTER_NAME, partName } from "../../../src/cache/pointer.ts";
import type { StoredSnapshot } from "./pool.ts";

const PROJECT_ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const WORKERS = fileURLToPath(new URL("../workers/", import.meta.url));
const COMPATIBILITY_DATE = "2026-10-01";
const OBJECTS = {
  bindings: {
    CATALOG: { type: "durable-object", worker: "bench", exportName: "Catalog" },
    PUSH_MEMORY: { type: "durable-object", worker: "bench", exportName: "PushMemory" },
  },
  exports: {
    Catalog: { type: "durable-object", storage: "sqlite" },
    PushMemory: { type: "durable-object", storage: "sqlite" },
  },
} as const;
const execute = promisify(execFile);

/** Runs wrangler in the project, which asks nobody anything. */
export async function wrangler(...parameters: string[]): Promise<string> {
  const { stdout } = await execute("wrangler", parameters, {
    cwd: PROJECT_ROOT,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true", NO_COLOR: "1" },
  });
  return stdout;
}

/** What is deployed: the script, and the WebAssembly that it imports. */
export interface Bundle {
  script: string;
  wasm: { name: string; bytes: Uint8Array<ArrayBuffer> };
}

let bundle: Promise<Bundle> | undefined;

/** The Worker as `wrangler deploy` would send it, made once for all sections. */
export function builtWorker(): Promise<Bundle> {
  bundle ??= build();
  return bundle;
}

async function build(): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
  try {
    await wrangler("deploy", "--dry-run", "--outdir", folder);
    const name = (await readdir(folder)).find((file) => file.endsWith(".wasm"));
    if (name === undefined) throw new Error("no WebAssembly is in the bundle");
    const bytes = new Uint8Array(await readFile(join(folder, name)));
    return { script: await readFile(join(folder, "index.js"), "utf8"), wasm: { name, bytes } };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** One Worker in a workerd of its own. */
export interface WorkerProcess {
  /** Straight to the Worker, without the simulator's front. */
  url: URL;
  kv: Awaited<ReturnType<Miniflare["getKVNamespace"]>>;
  usage(): Usage;
  stop(): Promise<void>;
}

/** Of workerd, as the kernel counts it; NaN where there is no /proc. */
export interface Usage {
  /** Resident. */
  bytes: number;
  /** Of all threads since the start. */
  cpuMs: number;
}

/** The built Worker, or one of `workers/` around it or in its place, with an empty KV and an empty catalog of its own. */
export async function startWorker(
  name: "index" | "forgetful" | "counting" | "catalog" | "echo",
  uaaUrl = "http://localhost",
  variables: Record<string, string> = {},
): Promise<WorkerProcess> {
  const main = `${name}.js`;
  const { script, wasm } = await builtWorker();
  const contents = name === "index" ? "" : await readFile(join(WORKERS, main), "utf8");
  const before = new Set(workerdProcesses());
  const miniflare = new Miniflare({
    cf: false,
    // The Worker writes a line a request, which nobody is to read.
    handleStructuredLogs: () => {},
    workers: [
      {
        config: {
          name: "bench",
          compatibilityDate: COMPATIBILITY_DATE,
          manifest: {
            mainModule: main,
            modulesRoot: WORKERS,
            modules: {
              [main]: { type: "esm", contents },
              "index.js": { type: "esm", contents: script },
              [wasm.name]: { type: "wasm", contents: wasm.bytes },
            },
          },
          env: {
            ...Object.fromEntries(
              Object.entries({ UAA_URL: uaaUrl, ...variables }).map(([variable, value]) => [
                variable,
                { type: "text" as const, value },
              ]),
            ),
            RESOURCE_CACHE: { type: "kv", id: "cache" },
            ...(name === "echo" ? {} : OBJECTS.bindings),
          },
          exports: name === "echo" ? {} : OBJECTS.exports,
        },
        dev: { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] },
      },
    ],
  });
  await miniflare.ready;
  const pid = workerdProcesses().find((process) => !before.has(process));
  return {
    url: await miniflare.unsafeGetDirectURL(),
    kv: await miniflare.getKVNamespace("RESOURCE_CACHE"),
    usage: () => usageOf(pid),
    stop: () => miniflare.dispose(),
  };
}

/** Puts a snapshot into a Worker's KV. */
export async function putSnapshot({ kv }: WorkerProcess, { pointer, parts }: StoredSnapshot): Promise<void> {
  for (const [number, part] of parts.entries()) {
    await kv.put(partName(pointer.snapshot?.id ?? "", number), part);
  }
  await kv.put(POINTER_NAME, JSON.stringify(pointer));
}

/** The workerd processes that this process has started. */
function workerdProcesses(): number[] {
  const statusOf = (pid: string) => read(`/proc/${pid}/status`);
  const parent = new RegExp(`^PPid:\\s+${process.pid}$`, "m");
  const isOurs = (status: string) => status.startsWith("Name:\tworkerd\n") && parent.test(status);
  const pids = process.platform === "linux" ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : [];
  return pids.filter((pid) => isOurs(statusOf(pid))).map(Number);
}

const CLOCK_TICK_MS = 10;

function usageOf(pid: number | undefined): Usage {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`)) ?? [];
  // After the name, which may hold blanks: state is the first field, utime the 12th, stime the 13th.
  const fields = read(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  return {
    bytes: Number(kilobytes) * 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS,
  };
}

/** Empty where it is gone, or never was. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
