import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const STARTED_MAX_MS = 30_000;
const ENDED_MAX_MS = 5_000;

/** Path of a Chromium on this machine: `CHROMIUM`, or the first on the PATH. */
export function findChromium(): string | undefined {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const directories = (process.env.PATH ?? "").split(delimiter);
  return directories.flatMap((directory) => NAMES.map((name) => join(directory, name))).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

type Params = Record<string, unknown>;

/** A page in a headless Chromium, over the DevTools protocol. */
export interface Page {
  /** Calls a method of the protocol; rejects with what Chromium says against it. */
  // biome-ignore lint/suspicious/noExplicitAny: the protocol has hundreds of answers
  call(method: string, params?: Params): Promise<any>;
  /** What happens from now on. */
  on(event: string, listener: (params: Params) => void): void;
  /** The value of an expression in the page, once its promise is kept. */
  evaluate<T>(expression: string): Promise<T>;
  /** Loads an address, until its `load` event. */
  open(url: string): Promise<void>;
}

/** Chromium with a profile of its own, and one page; it asks nobody anything by itself. */
export async function startChromium(program: string): Promise<{ page: Page; stop(): Promise<void> }> {
  const profile = await mkdtemp(join(tmpdir(), "chromium-"));
  const isRoot = process.getuid?.() === 0;
  const child = spawn(
    program,
    [
      "--headless",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      // Its sandbox refuses root, as whom containers run; only pages of the tests are opened.
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
    const timer = setTimeout(() => child.kill("SIGKILL"), ENDED_MAX_MS);
    await ended;
    clearTimeout(timer);
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const socket = new WebSocket(await addressOf(child.stderr));
    await once(socket, "open");
    return { page: await newPage(socket), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Which it tells on stderr when it has started. */
async function addressOf(stderr: NodeJS.ReadableStream): Promise<string> {
  let said = "";
  const told = new Promise<string>((resolve, reject) => {
    const lines = createInterface({ input: stderr });
    lines.on("line", (line) => {
      said += `${line}\n`;
      const address = /^DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (address) resolve(address);
    });
    lines.on("close", () => reject(new Error(`Chromium does not start: ${said}`)));
    setTimeout(() => reject(new Error(`Chromium does not start: ${said}`)), STARTED_MAX_MS).unref();
  });
  return told;
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
