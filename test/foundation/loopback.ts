import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** Both, because some programs resolve "localhost" to one, and some to the other. */
const LOOPBACK_ADDRESSES = ["127.0.0.1", "::1"];
const PORT_ATTEMPTS = 20;

export interface LoopbackServer {
  port: number;
  /** `http://localhost:<port>` */
  url: string;
  /** Also closes open connections. */
  close(): Promise<void>;
}

/** The port is in use, or may not be opened by this user. */
export class PortInUse extends Error {
  override name = "PortInUse";
  readonly port: number;

  constructor(port: number) {
    super(`port ${port} is in use`);
    this.port = port;
  }
}

/**
 * Listens on every loopback address of the machine.
 *
 * @param port 0 for a free port
 * @throws PortInUse
 */
export async function listenOnLoopback(handler: RequestListener, port = 0): Promise<LoopbackServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await listen(handler, port);
    } catch (error) {
      // A port that is free on one address may be in use on the other.
      if (!(error instanceof PortInUse) || port !== 0 || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

/** Whether a server can listen on `port` on every loopback address. */
export async function isPortFree(port: number): Promise<boolean> {
  // Some systems let a socket bind one address while another process listens on all of them.
  const served = await Promise.all(LOOPBACK_ADDRESSES.map((host) => acceptsConnections(port, host)));
  if (served.includes(true)) return false;
  try {
    const server = await listen(() => {}, port);
    await server.close();
    return true;
  } catch (error) {
    if (error instanceof PortInUse) return false;
    throw error;
  }
}

/** Returns a port that is free now. */
export async function freePort(): Promise<number> {
  const server = await listenOnLoopback(() => {});
  await server.close();
  return server.port;
}

async function listen(handler: RequestListener, port: number): Promise<LoopbackServer> {
  const servers: Server[] = [];
  const close = async () => {
    await Promise.all(servers.map(closeServer));
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

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

export function acceptsConnections(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
