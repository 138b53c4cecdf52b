import { BlockList, isIP } from "node:net";
import { isLoopback } from "../../http/loopback.ts";
import { Exit } from "../terminal/exit.ts";
import { redactUrl } from "../terminal/output.ts";

export interface HttpProxy {
  /** With user and password, if it requires them. */
  url: URL;
  /** Without them, to print it. */
  name: string;
  /** The environment variable that names it. */
  variable: string;
}

const DEFAULT_PORTS: Record<string, string> = { "http:": "80", "https:": "443" };

/**
 * Chooses the proxy for a URL by the environment variables that cf uses: `HTTPS_PROXY` for https, `HTTP_PROXY` for http, and
 * `NO_PROXY` for exceptions, or the same in lower case. Servers on this machine are always reached directly.
 *
 * @returns undefined if there is no proxy for the URL
 * @throws Exit if the variable is not the URL of an HTTP proxy
 */
export function proxyFor(url: URL): HttpProxy | undefined {
  const upperCase = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const variable = process.env[upperCase] ? upperCase : upperCase.toLowerCase();
  const text = process.env[variable]?.trim();
  if (!text || isExcluded(url, process.env.NO_PROXY || process.env.no_proxy || "")) return undefined;
  const proxy = parseProxy(text);
  if (proxy === undefined) {
    throw new Exit(
      "usage",
      `${variable} must be the URL of an HTTP proxy, like http://proxy.example.com:3128, not ${redactUrl(text)}. ` +
        "Other kinds of proxies, like SOCKS, are not supported.",
    );
  }
  return { url: proxy, name: `${proxy.protocol}//${proxy.host}`, variable };
}

/** Parses the URL of a proxy. Without a scheme it is http, as for cf and curl. */
function parseProxy(text: string): URL | undefined {
  const href = text.includes("://") ? text : `http://${text}`;
  if (!URL.canParse(href)) return undefined;
  const url = new URL(href);
  const isHttp = url.protocol in DEFAULT_PORTS;
  return isHttp && isPercentEncoded(url.username) && isPercentEncoded(url.password) ? url : undefined;
}

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** @param list entries that are separated by commas or spaces: `example.com`, `host:port`, `10.0.0.0/8` or `*` */
function isExcluded({ protocol, hostname, port }: URL, list: string): boolean {
  if (isLoopback(hostname)) return true;
  const host = hostname.replace(/^\[|\]$/g, "");
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === "*") return true;
      if (isIP(entry.replace(/\/.*$/, ""))) return isInRange(host, entry);
      const [, name = "", ofPort] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(entry) ?? [];
      if (ofPort !== undefined && ofPort !== (port || DEFAULT_PORTS[protocol])) return false;
      if (isIP(name)) return isInRange(host, name);
      const domain = name.replace(/^\*?\./, "");
      return domain !== "" && (host === domain || host.endsWith(`.${domain}`));
    });
}

/** @param range an address, or a prefix like `10.0.0.0/8` */
function isInRange(host: string, range: string): boolean {
  const [network = "", bits] = range.split("/");
  const family = (address: string) => (isIP(address) === 6 ? "ipv6" : "ipv4");
  const longest = family(network) === "ipv6" ? 128 : 32;
  const length = Number(bits ?? longest);
  if (isIP(host) === 0 || !(length >= 0 && length <= longest)) return false;
  const list = new BlockList();
  list.addSubnet(network, length, family(network));
  return list.check(host, family(host));
}
