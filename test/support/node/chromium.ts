import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findProgram } from "./find-program.ts";

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5_000;

/** The path of Chromium: the variable `CHROMIUM`, or the first on the PATH. */
export function findChromium(): string | undefined {
  return process.env.CHROMIUM || findProgram("chromium", "chromium-browser", "google-chrome");
}

type Params = Record<string, unknown>;

/** A page in a headless Chromium, controlled by the DevTools protocol. */
export interface Page {
  /** Calls a method of the protocol. Rejects with Chromium's error message. */
  // biome-ignore lint/suspicious/noExplicitAny: the protocol has hundreds of results
  call(method: string, params?: Params): Promise<any>;
  /** Listens to an event from now on. */
  on(event: string, listener: (params: Params) => void): void;
  /** Evaluates an expression in the page, and awaits its promise. */
  evaluate<T>(expression: string): Promise<T>;
  /** Opens a URL, and waits for the `load` event. */
  open(url: string): Promise<void>;
}

/** Starts Chromium with a new profile and one page, without background requests. */
export async function startChromium(program: string): Promise<{ page: Page; stop(): Promise<void> }> {
  const profile = await mkdtemp(join(tmpdir(), "chromium-"));
  const isRoot = process.getuid?.() === 0;
  const child = spawn(
    program,
    [
      "--headless",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      // The sandbox does not work for root, the user of containers. Only pages of the tests are opened.
      ...(isRoot ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      "about:blank",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const socket = new WebSocket(await readDevToolsUrl(child.stderr));
    await once(socket, "open");
    return { page: await newPage(socket), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Reads the WebSocket URL of the DevTools, which Chromium prints to stderr. */
async function readDevToolsUrl(stderr: NodeJS.ReadableStream): Promise<string> {
  let output = "";
  return new Promise<string>((resolve, reject) => {
    const lines = createInterface({ input: stderr });
    lines.on("line", (line) => {
      output += `${line}\n`;
      const address = /^DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (address) resolve(address);
    });
    lines.on("close", () => reject(new Error(`Chromium did not start: ${output}`)));
    setTimeout(() => reject(new Error(`Chromium did not start: ${output}`)), START_TIMEOUT_MS).unref();
  });
}

async function newPage(socket: WebSocket): Promise<Page> {
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  const listeners = new Map<string, ((params: Params) => void)[]>();
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error, method, params } = JSON.parse(String(data));
    if (id === undefined) for (const listener of listeners.get(method) ?? []) listener(params);
    else if (error) waiting.get(id)?.reject(new Error(error.message));
    else waiting.get(id)?.resolve(result);
    waiting.delete(id);
  });
  let last = 0;
  let sessionId: string | undefined;
  const call: Page["call"] = (method, params = {}) => {
    const id = ++last;
    socket.send(JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) }));
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  };
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  ({ sessionId } = await call("Target.attachToTarget", { targetId, flatten: true }));
  const on: Page["on"] = (event, listener) => {
    listeners.set(event, [...(listeners.get(event) ?? []), listener]);
  };
  for (const domain of ["Page", "Runtime", "Log"]) await call(`${domain}.enable`);
  return {
    call,
    on,
    async evaluate(expression) {
      const { result, exceptionDetails } = await call("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    },
    async open(url) {
      const loaded = new Promise<void>((resolve) => on("Page.loadEventFired", () => resolve()));
      const { errorText } = await call("Page.navigate", { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
      await loaded;
    },
  };
}
