import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { expect } from "vitest";
import { makeNames } from "../blobs.ts";
import { afterTests, resourcePool, resourcePoolInThread } from "../command.ts";
import { startFakeCache, TOKEN } from "../fake-cache.ts";

// The tests must not depend on the settings of the machine.
for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]) {
  delete process.env[name];
  delete process.env[name.toLowerCase()];
}

/** A name that only a proxy can resolve. */
export const NAME = "worker.company.invalid";
export const RESOURCE = makeNames(1)[0]?.key ?? "";

/** Starts a cache with one resource. */
export async function startCache() {
  const cache = await startFakeCache();
  cache.present.add(RESOURCE);
  return cache;
}

/** Runs `list` and returns its exit code, its messages, and whether it has printed the resource. */
export async function list(url: string, env: Record<string, string> = {}, ...args: string[]) {
  const { code, stdout, stderr } = await resourcePoolInThread(["list", "--url", url, ...args], {
    env: { CF_TOKEN: TOKEN, ...env },
  });
  return { code, stderr, isDone: stdout.startsWith(RESOURCE.slice(0, 40)) };
}

/** Runs `list` until it retries. */
export async function interrupted(url: string, env: Record<string, string> = {}) {
  const outcome = await resourcePool(["list", "--url", url], {
    env: { CF_TOKEN: TOKEN, ...env },
    onStart: (child) => {
      child.stderr?.on("data", (data) => String(data).includes("Retrying") && child.kill("SIGINT"));
    },
  });
  expect(outcome).toMatchObject({ code: 130, stdout: "" });
  return outcome;
}

export const DONE = { code: 0, stderr: "", isDone: true };

/** Starts a server that handles raw connections. @returns its port */
export async function startSocketServer(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterTests(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
