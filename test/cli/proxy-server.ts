import { createServer, request as requestHttp } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { pipeline } from "node:stream";
import { afterTests } from "./command.ts";

interface ProxyOptions {
  /** Ports on loopback by `host:port`: names that only the proxy can resolve. */
  hosts?: Record<string, number>;
  /** `user:password` that it requires. */
  login?: string;
  /** Its response to CONNECT, instead of a connection. */
  status?: number;
}

/** Starts an HTTP proxy for http and https. */
export async function startProxyServer({ hosts = {}, login, status }: ProxyOptions = {}) {
  /** Of each request, what a proxy can read: CONNECT and a host, or the URL and the token. */
  const requests: {
    method?: string | undefined;
    url?: string | undefined;
    authorization?: string | undefined;
  }[] = [];
  const isRefused = (authorization: string | undefined) =>
    login !== undefined && authorization !== `Basic ${Buffer.from(login).toString("base64")}`;
  const server = createServer((request, response) => {
    const { method, url = "", headers } = request;
    requests.push({ method, url, authorization: headers.authorization });
    if (isRefused(headers["proxy-authorization"])) return void response.writeHead(407).end();
    const { host, pathname, search } = new URL(url);
    const port = hosts[host];
    if (port === undefined) return void response.writeHead(502).end("Unknown host");
    const forwarded = requestHttp(
      { port, host: "127.0.0.1", method, headers, path: pathname + search },
      (received) => {
        response.writeHead(received.statusCode ?? 0, received.headers);
        pipeline(received, response, () => {});
      },
    );
    forwarded.flushHeaders();
    pipeline(request, forwarded, () => {});
  });
  server.on("connect", ({ method, url = "", headers }, socket) => {
    requests.push({ method, url, authorization: headers.authorization });
    const refuse = (code: number) => socket.end(`HTTP/1.1 ${code} Refused\r\n\r\n`);
    const port = hosts[url];
    if (isRefused(headers["proxy-authorization"])) return void refuse(407);
    if (status !== undefined || port === undefined) return void refuse(status ?? 502);
    const target = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      pipeline(socket, target, socket, () => {});
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterTests(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { host: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}`, requests };
}
