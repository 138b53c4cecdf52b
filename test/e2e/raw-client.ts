import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

export interface SendOptions {
  patienceMs?: number;
  gone?: { afterMs: number; by: "end" | "reset" };
}

const TIMEOUT_MS = 5_000;

/**
 * Sends bytes as they are, and returns what comes back until the other side ends, or `patienceMs` have passed.
 *
 * @param options.gone after how many ms the client gives up, and whether it ends the connection or resets it
 */
export async function sendBytes(
  url: string,
  bytes: string | Uint8Array,
  { patienceMs = TIMEOUT_MS, gone }: SendOptions = {},
): Promise<string> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
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
