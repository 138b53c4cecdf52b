import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** Both, because what "localhost" means differs from program to program. */
const LOOPBACK_ADDRESSES = ["127.0.0.1", "::1"];
const PORT_ATTEMPTS = 20;

export interface LoopbackServer {
  port: number;
  /** `http://localhost:<port>` */
  url: string;
  /** Cuts what is still open. */
  close(): Promise<void>;
}

/** The port is not to be had. */
export class PortInUse extends Error {
  override name = "PortTaken";
  readonly port: number;

  constructor(port: number) {
    super(`port ${port} is taken`);
    this.port = port;
  }
}

/**
 * Serves on every loopback address that the machine has.
 *
 * @param port 0 for a free one
 * @throws PortTaken
 */
export async function listenOnLoopback(handler: RequestListener, port = 0): Promise<LoopbackServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await listen(handler, port);
    } catch (error) {
      // A port that is free on one address may be taken on the other.
      if (!(error instanceof PortInUse) || port !== 0 || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

/** Whether a server could listen on `port` now, on every loopback address. */
export async function isPortFree(port: number): Promise<boolean> {
  // Some systems let a socket bind one address while another process serves all of them.
  const answers = await Promise.all(LOOPBACK_ADDRESSES.map((host) => isServed(port, host)));
  if (answers.includes(true)) return false;
  try {
    const server = await listen(() => {}, port);
    await server.close();
    return true;
  } catch (error) {
    if (error instanceof PortInUse) return false;
    throw error;
  }
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = await listenOnLoopback(() => {});
  await server.close();
  return server.port;
}

async function listen(handler: RequestListener, port: number): Promise<LoopbackServer> {
  const servers: Server[] = [];
  const close = async () => {
    await Promise.all(servers.map(stop));
  };
  let bound = port;
  for (const host of LOOPBACK_ADDRESSES) {
    const server = createServer(handler);
    try {
      server.listen(bound, host);
      await once(server, "listening");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") continue;
      await close();
      throw code === "EADDRINUSE" || code === "EACCES" ? new PortInUse(bound) : error;
    }
    servers.push(server);
    bound = (server.address() as AddressInfo).port;
  }
  if (servers.length === 0) throw new Error("the machine has no loopback address");
  return { port: bound, url: `http://localhost:${bound}`, close };
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

function isServed(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const answer = (served: boolean) => {
      socket.destroy();
      resolve(served);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}
