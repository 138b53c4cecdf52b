import { isIP } from "node:net";
import { connect } from "node:tls";

const TIMEOUT_MS = 3_000;

/** Whether the server at an http:// URL completes a TLS handshake. Nothing else is sent. */
export function usesTls({ hostname, port }: URL): Promise<boolean> {
  const host = hostname.replace(/^\[|\]$/g, "");
  const server = { host, port: Number(port || "80"), ...(isIP(host) === 0 && { servername: host }) };
  return new Promise((resolve) => {
    // The certificate does not matter: the request is not sent to this connection.
    const socket = connect({ ...server, rejectUnauthorized: false });
    const finish = (result: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish(false), TIMEOUT_MS);
    socket.once("secureConnect", () => finish(true));
    socket.on("error", () => finish(false));
  });
}
