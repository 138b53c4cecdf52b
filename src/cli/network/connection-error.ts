import { isLoopback } from "../../http/loopback.ts";
import { innermostCause, reasonOf } from "../terminal/exit.ts";
import type { HttpProxy } from "./proxy.ts";

/** An error of a connection, explained. */
export interface Explanation {
  /** What happened, what it means and what to do. */
  text: string;
  /** Whether another attempt can't help, as long as the address has never responded. */
  isPermanent: boolean;
}

interface ConnectionError extends NodeJS.ErrnoException {
  /** The bytes that are not HTTP. */
  rawPacket?: Buffer;
  /** The proxy's, to CONNECT. */
  statusCode?: number;
  /** The certificate that has another name. */
  cert?: { subjectaltname?: string };
}

/** What a request was waiting for. */
export type Step = "connect" | "handshake" | "send" | "wait" | "receive";

const NO_RESPONSE_ADVICE = "Is the URL right? If so, see the server's log, and try again later.";
/** First bytes of TLS records: an alert and a handshake. */
const TLS_RECORDS = [0x15, 0x16];
const UNREACHABLE = /^(ETIMEDOUT|E(HOST|NET)(UNREACH|DOWN))$/;
const UNTRUSTED = /SELF_SIGNED_CERT|^UNABLE_TO_(GET_ISSUER|VERIFY)|^CERT_UNTRUSTED$|^INVALID_CA$/;
/** OpenSSL's errors when the server speaks plain HTTP. */
const NO_TLS = /wrong version number|packet length too long/;

/** Whether the server closed the connection instead of responding. */
export function isClosed(error: unknown): boolean {
  return ["ECONNRESET", "EPIPE"].includes((innermostCause(error) as ConnectionError).code ?? "");
}

/** An http:// URL leads to a server that uses TLS. */
export function explainTls({ host }: URL): Explanation {
  return { text: `${host} uses TLS. Does the URL begin with https://?`, isPermanent: true };
}

/** Explains why a request got no response. */
export function explainConnectionError(error: unknown, url: URL, proxy: HttpProxy | undefined): Explanation {
  const cause = innermostCause(error) as ConnectionError;
  const code = cause.code ?? "";
  const peerError = explainPeerError(code, url, proxy);
  if (peerError) return peerError;
  if (proxy && code === "ERR_PROXY_TUNNEL") return explainTunnelError(cause, url, proxy);
  const through = proxySentence(proxy);
  const tlsError = explainTlsError(cause, url.host);
  if (tlsError) return { text: `${tlsError}${through}`, isPermanent: true };
  return { text: `${explainTransferError(cause, url)}${through}`, isPermanent: code.startsWith("HPE_") };
}

/** The proxy refuses the request, with 407. */
export function explainProxyLogin({ url, name, variable }: HttpProxy): Explanation {
  const text = url.username
    ? `The proxy ${name} refuses the user or the password in ${variable} (407). Correct them.`
    : `The proxy ${name} requires a user and a password (407). Set ${variable} to ${url.protocol}//<user>:<password>@${url.host}`;
  return { text, isPermanent: true };
}

/** A step of a request took longer than `ms`. */
export function explainTimeout(step: Step, ms: number, url: URL, proxy: HttpProxy | undefined): Explanation {
  const seconds = `${Math.round(ms / 1000)} s`;
  if (step === "connect" && !proxy) return explainUnreachable(`no connection within ${seconds}`, url);
  const text = {
    connect: `There was no connection to ${url.host} within ${seconds}. Check the host and the port of the URL.`,
    handshake: `${url.host} accepted the connection, and did not finish the TLS handshake within ${seconds}. Does it use TLS? ${NO_RESPONSE_ADVICE}`,
    send: `${url.host} read less than 64 KiB of the request in ${seconds}. ${NO_RESPONSE_ADVICE}`,
    wait: `${url.host} accepted the request, and did not respond within ${seconds}. ${NO_RESPONSE_ADVICE}`,
    receive: `${url.host} began to respond, and sent less than 64 KiB in ${seconds}. ${NO_RESPONSE_ADVICE}`,
  }[step];
  return { text: `${text}${proxySentence(proxy)}`, isPermanent: false };
}

function explainUnreachable(reason: string, url: URL): Explanation {
  const text = `${url.host} can't be reached (${reason}). A firewall may block it. ${addressAdvice(url, undefined)}`;
  return { text, isPermanent: false };
}

function proxySentence(proxy: HttpProxy | undefined): string {
  return proxy ? ` The request went through the proxy ${proxy.name} (${proxy.variable}).` : "";
}

function addressAdvice({ protocol, hostname }: URL, proxy: HttpProxy | undefined): string {
  if (proxy) return `Check ${proxy.variable}.`;
  const advice = "Check the host and the port of the URL.";
  if (isLoopback(hostname)) return advice;
  const variable = protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  return `${advice} If this network needs a proxy, set ${variable}.`;
}

/** Errors of the first connection: to the proxy if there is one. */
function explainPeerError(code: string, url: URL, proxy: HttpProxy | undefined): Explanation | undefined {
  const peer = proxy?.url ?? url;
  const role = proxy ? "the proxy " : "";
  const advice = addressAdvice(url, proxy);
  if (code === "ENOTFOUND") {
    const text = `The name of ${role || "the host "}${peer.hostname} can't be resolved (${code}). ${advice}`;
    return { text, isPermanent: true };
  }
  if (code === "EAI_AGAIN") {
    const text = `The name server does not respond to a query for ${role}${peer.hostname} (${code}). Check this machine's network.`;
    return { text, isPermanent: false };
  }
  if (code === "ECONNREFUSED") {
    const text = `No server accepts connections at ${role}${peer.host} (${code}). ${advice}`;
    return { text, isPermanent: true };
  }
  if (!UNREACHABLE.test(code)) return undefined;
  if (!proxy) return explainUnreachable(code, url);
  return { text: `The proxy ${proxy.name} can't be reached (${code}). ${advice}`, isPermanent: false };
}

function explainTunnelError(cause: ConnectionError, url: URL, proxy: HttpProxy): Explanation {
  const { statusCode } = cause;
  if (statusCode === 407) return explainProxyLogin(proxy);
  if (statusCode === undefined) {
    const text = `${proxy.name} closed the connection instead of connecting to ${url.host}. Is ${proxy.variable} a proxy?`;
    return { text, isPermanent: true };
  }
  return statusCode >= 500
    ? {
        text: `The proxy ${proxy.name} can't connect to ${url.host} (${statusCode}). Check the host and the port of the URL.`,
        isPermanent: false,
      }
    : {
        text:
          `The proxy ${proxy.name} refuses to connect to ${url.host} (${statusCode}). Does it allow this host? If the host can be ` +
          "reached without the proxy, add it to NO_PROXY.",
        isPermanent: true,
      };
}

function explainTlsError(cause: ConnectionError, host: string): string | undefined {
  const code = cause.code ?? "";
  const reason = reasonOf(cause);
  if (NO_TLS.test(reason)) return `${host} does not use TLS. Does the URL begin with http://?`;
  if (UNTRUSTED.test(code)) {
    return (
      `The certificate of ${host} is from an authority that this machine does not trust (${code}). If it is your company's ` +
      "authority, add its certificate: --ca-file <PEM file>."
    );
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = cause.cert?.subjectaltname ?? "no name";
    return `The certificate of ${host} is for ${names}, and not for this host (${code}). Check the host of the URL.`;
  }
  if (code === "CERT_HAS_EXPIRED") {
    return `The certificate of ${host}, or of its authority, has expired (${code}). Renew it. If it is valid, set this machine's clock.`;
  }
  if (code === "CERT_NOT_YET_VALID") {
    return `The certificate of ${host}, or of its authority, is not valid yet (${code}). Is this machine's clock right?`;
  }
  return /^(EPROTO|CERT_|ERR_SSL_|ERR_TLS_|UNABLE_TO_)/.test(code)
    ? `The TLS handshake with ${host} failed: ${reason} (${code}).`
    : undefined;
}

function explainTransferError(cause: ConnectionError, url: URL): string {
  const { protocol, host } = url;
  const code = cause.code ?? cause.name;
  const reason = reasonOf(cause);
  if (code.startsWith("HPE_")) {
    return TLS_RECORDS.includes(cause.rawPacket?.[0] ?? 0)
      ? explainTls(url).text
      : `${host} does not respond with HTTP (${code}).`;
  }
  if (/before secure TLS connection/.test(reason)) {
    return `${host} closed the connection during the TLS handshake (${code}). Does it use TLS? A firewall may block it, too.`;
  }
  if (isClosed(cause)) {
    const hint = protocol === "http:" ? " Does it require https://?" : "";
    return `${host} closed the connection before its response was complete (${code}).${hint}`;
  }
  return `${reason} (${code}).`;
}
