import { afterEach, expect, test } from "vitest";
import { proxyFor } from "../../../src/cli/network/proxy.ts";

const VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
const before = VARIABLES.map((name) => [name, process.env[name]] as const);

function setEnvironment(variables: Record<string, string | undefined>): void {
  for (const name of VARIABLES) {
    const value = variables[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

afterEach(() => setEnvironment(Object.fromEntries(before)));

test.each([
  [
    "https://a.example.com",
    { HTTPS_PROXY: "http://p:1", https_proxy: "http://q:1" },
    "http://p:1",
    "HTTPS_PROXY",
  ],
  ["https://a.example.com", { https_proxy: "http://q:1" }, "http://q:1", "https_proxy"],
  [
    "http://a.example.com",
    { HTTP_PROXY: "http://p:1", HTTPS_PROXY: "http://q:1" },
    "http://p:1",
    "HTTP_PROXY",
  ],
  ["https://a.example.com", { HTTPS_PROXY: "https://me:x@p" }, "https://p", "HTTPS_PROXY"],
  ["https://a.example.com", { HTTPS_PROXY: "me:x@10.0.0.1:3128" }, "http://10.0.0.1:3128", "HTTPS_PROXY"],
  ["https://a.example.com", { HTTPS_PROXY: "[::1]:3128" }, "http://[::1]:3128", "HTTPS_PROXY"],
])("chooses the proxy of %s by %o", (url, environment, name, variable) => {
  setEnvironment(environment);
  expect(proxyFor(new URL(url))).toMatchObject({ name, variable });
});

test.each([
  ["https://a.example.com", {}],
  ["https://a.example.com", { HTTP_PROXY: "http://p:1" }],
  ["http://a.example.com", { HTTPS_PROXY: "http://p:1" }],
  ["https://a.example.com", { HTTPS_PROXY: "" }],
  ["https://a.example.com", { ALL_PROXY: "http://p:1" }],
])("uses no proxy for %s with %o", (url, environment) => {
  setEnvironment(environment);
  expect(proxyFor(new URL(url))).toBeUndefined();
});

test.each([
  ["*", "https://a.example.com"],
  ["example.com", "https://example.com"],
  ["example.com", "https://a.example.com"],
  ["EXAMPLE.com", "https://a.example.COM"],
  [".example.com", "https://a.example.com"],
  [".example.com", "https://example.com"],
  ["*.example.com", "https://a.b.example.com"],
  ["other, example.com", "https://example.com"],
  ["other example.com", "https://example.com"],
  ["example.com:443", "https://example.com"],
  ["example.com:8443", "https://example.com:8443"],
  ["10.0.0.1", "http://10.0.0.1"],
  ["10.0.0.1:80", "http://10.0.0.1"],
  ["10.0.0.0/8", "http://10.1.2.3"],
  ["2001:db8::1", "http://[2001:db8:0::1]"],
  ["[2001:db8::1]:80", "http://[2001:db8::1]"],
  ["2001:db8::/32", "http://[2001:db8:1::1]"],
  ["", "http://localhost"],
  ["", "https://127.0.0.2:8443"],
  ["", "http://[::1]:8787"],
])("with NO_PROXY %j reaches %s directly", (NO_PROXY, url) => {
  setEnvironment({ HTTP_PROXY: "http://p:1", HTTPS_PROXY: "http://p:1", NO_PROXY });
  expect(proxyFor(new URL(url))).toBeUndefined();
  setEnvironment({ HTTP_PROXY: "http://p:1", HTTPS_PROXY: "http://p:1", no_proxy: NO_PROXY });
  expect(proxyFor(new URL(url))).toBeUndefined();
});

test.each([
  ["", "https://a.example.com"],
  [",, ,", "https://a.example.com"],
  ["example.com", "https://anexample.com"],
  ["a.example.com", "https://example.com"],
  ["example.com:8443", "https://example.com"],
  ["10.0.0.0/8", "http://11.1.2.3"],
  ["10.0.0.0/33", "http://10.1.2.3"],
  ["10.0.0.0/x", "http://10.1.2.3"],
  ["10.0.0.1", "http://10.0.0.10"],
  ["10.0.0.1:8080", "http://10.0.0.1"],
  ["2001:db8::/32", "http://10.1.2.3"],
  ["::ffff:0:0/96", "http://a.example.com"],
])("with NO_PROXY %j reaches %s through the proxy", (NO_PROXY, url) => {
  setEnvironment({ HTTP_PROXY: "http://p:1", HTTPS_PROXY: "http://p:1", NO_PROXY });
  expect(proxyFor(new URL(url))).toBeDefined();
});

test.each(["socks5://me:secret@p:1", "http://", "http://me:%zz@p:1", "ftp://p"])(
  "refuses %s as a proxy, and does not print its password",
  (HTTPS_PROXY) => {
    setEnvironment({ HTTPS_PROXY });
    const error = expect.objectContaining({
      reason: "usage",
      message: expect.stringMatching(
        /^HTTPS_PROXY must be the URL of an HTTP proxy, like (?!.*(secret|%zz))/,
      ),
    });
    expect(() => proxyFor(new URL("https://a.example.com"))).toThrow(error);
    expect(proxyFor(new URL("http://a.example.com"))).toBeUndefined();
  },
);
