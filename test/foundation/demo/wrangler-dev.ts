import { fork } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { EXIT_MAX_MS, signalGroup } from "./process-group.ts";

const TAIL_MAX_CHARACTERS = 8_000;
const KILL_MAX_MS = 1_000;

export interface WranglerDevOptions {
  port: number;
  /** Path of the configuration. The local KV is in `.wrangler` next to it, and everything else that wrangler writes. */
  config: string;
  /** Receives the output of `wrangler dev`, including the Worker's log. */
  onLine?: (line: string) => void;
}

/** The Worker under `wrangler dev`. */
export interface WranglerDev {
  /** `http://localhost:<port>` */
  url: string;
  /** The process group of wrangler and its child processes; undefined if it could not be started. */
  group: number | undefined;
  /** Resolves when wrangler has exited. */
  ended: Promise<void>;
  /** The last 8,000 characters of its output. */
  tail(): string;
  /** Ends wrangler and its child processes. */
  stop(): Promise<void>;
}

/** Starts `wrangler dev` without prompts, telemetry and other requests to the internet. */
export function startWranglerDev(options: WranglerDevOptions): WranglerDev {
  const child = fork(
    fileURLToPath(new URL("supervise.ts", import.meta.url)),
    [process.execPath, wranglerPath(), ...wranglerArguments(options)],
    {
      cwd: PROJECT_ROOT,
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: {
        ...process.env,
        CLOUDFLARE_CF_FETCH_ENABLED: "false",
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_SEND_ERROR_REPORTS: "false",
        WRANGLER_HIDE_BANNER: "true",
        WRANGLER_WRITE_LOGS: "false",
        // It keeps its settings in the home directory, which may not be writable.
        HOME: dirname(options.config),
        XDG_CONFIG_HOME: undefined,
        XDG_CACHE_HOME: undefined,
        // The configuration has no environments.
        CLOUDFLARE_ENV: undefined,
      },
    },
  );
  let tail = "";
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface(stream).on("line", (line) => {
      tail = `${tail}${line}\n`.slice(-TAIL_MAX_CHARACTERS);
      options.onLine?.(line);
    });
  }

  const group = child.pid;
  // "close" would wait for a workerd that still has the pipe open.
  const ended = once(child, "exit").then(() => {});
  return {
    url: `http://localhost:${options.port}`,
    group,
    ended,
    tail: () => tail.trim(),
    async stop() {
      if (group === undefined) return;
      signalGroup(group, "SIGINT");
      await Promise.race([ended, pause(EXIT_MAX_MS, undefined, { ref: false })]);
      signalGroup(group, "SIGKILL");
      await Promise.race([ended, pause(KILL_MAX_MS, undefined, { ref: false })]);
    },
  };
}

function wranglerArguments({ port, config }: WranglerDevOptions): string[] {
  return [
    "dev",
    "--local",
    `--port=${port}`,
    // Any free port, because another wrangler may use the default one.
    "--inspector-port=0",
    "--show-interactive-dev-session=false",
    `--config=${config}`,
  ];
}

function wranglerPath(): string {
  const manifest = createRequire(import.meta.url).resolve("wrangler/package.json");
  return join(dirname(manifest), "bin", "wrangler.js");
}
