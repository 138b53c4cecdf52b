import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { MANIFEST_NAME, partName } from "../../../src/cache/manifest.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { startWorkerd, type Workerd } from "../../support/node/workerd.ts";
import type { StoredSnapshot } from "./pool.ts";

const WORKERS = fileURLToPath(new URL("../workers/", import.meta.url));
const execute = promisify(execFile);

/** Runs wrangler without prompts and telemetry. */
export async function runWrangler(parameters: string[], cwd = PROJECT_ROOT): Promise<string> {
  const { stdout } = await execute("wrangler", parameters, {
    cwd,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true", NO_COLOR: "1" },
  });
  return stdout;
}

/** The deployed modules: the script, and the WebAssembly that it imports. */
export interface Bundle {
  script: string;
  wasm: { name: string; bytes: Uint8Array<ArrayBuffer> };
}

let bundle: Promise<Bundle> | undefined;

/** Builds the Worker as `wrangler deploy` does. It is built once for all sections. */
export function buildWorker(): Promise<Bundle> {
  bundle ??= build();
  return bundle;
}

async function build(): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), "resource-matches-bench-"));
  try {
    await runWrangler(["deploy", "--dry-run", "--outdir", folder]);
    const name = (await readdir(folder)).find((file) => file.endsWith(".wasm"));
    if (name === undefined) throw new Error("the bundle has no WebAssembly");
    const bytes = new Uint8Array(await readFile(join(folder, name)));
    return { script: await readFile(join(folder, "index.js"), "utf8"), wasm: { name, bytes } };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A running Worker, for the sections. */
export type WorkerProcess = Omit<Workerd, "url" | "lines"> & { url: URL };

/** Starts the built Worker (`index`) or a Worker of `workers/`, with an empty KV and an empty catalog. */
export async function startWorker(
  name: "index" | "no-sessions" | "counting" | "catalog" | "echo" | "latency",
  uaaUrl = "http://localhost",
  variables: Record<string, string> = {},
): Promise<WorkerProcess> {
  const { script, wasm } = await buildWorker();
  const main = `${name}.js`;
  const contents = name === "index" ? script : await readFile(join(WORKERS, main), "utf8");
  const worker = await startWorkerd({
    modules: {
      [main]: { type: "esm", contents },
      "index.js": { type: "esm", contents: script },
      [wasm.name]: { type: "wasm", contents: wasm.bytes },
    },
    variables: { UAA_URL: uaaUrl, ...variables },
    hasObjects: name !== "echo",
    // Discards the log lines.
    onLine: () => {},
  });
  return { ...worker, url: new URL(worker.url) };
}

/** Stores a snapshot in the KV of a Worker. */
export async function putSnapshot(worker: WorkerProcess, { manifest, parts }: StoredSnapshot): Promise<void> {
  const kv = await worker.kv();
  for (const [number, part] of parts.entries()) {
    await kv.put(partName(manifest.snapshot?.id ?? "", number), part);
  }
  await kv.put(MANIFEST_NAME, JSON.stringify(manifest));
}
