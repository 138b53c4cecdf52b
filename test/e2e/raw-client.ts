import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

export interface SendOptions {
  timeoutMs?: number;
  /** When the client gives up, and whether it ends the connection or resets it. */
  abort?: { afterMs: number; by: "end" | "reset" };
}

const TIMEOUT_MS = 5_000;

/** Sends bytes unchanged, and returns what was received until the server ended the connection, or until the timeout. */
export async function sendBytes(
  url: string,
  bytes: string | Uint8Array,
  { timeoutMs = TIMEOUT_MS, abort }: SendOptions = {},
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
  if (abort) await Promise.race([ended, pause(abort.afterMs)]);
  if (abort?.by === "end") socket.end();
  if (abort?.by === "reset") socket.resetAndDestroy();
  else await Promise.race([ended, pause(timeoutMs, undefined, { ref: false })]);
  socket.destroy();
  return Buffer.concat(received).toString();
}
