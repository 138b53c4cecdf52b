import { expect, test } from "vitest";
import { explainConnectionError } from "../../../src/cli/network/connection-error.ts";

const URLS = { direct: new URL("https://a.example.com"), local: new URL("http://localhost:8787") };
const PROXY = { url: new URL("http://me:secret@p:3128"), name: "http://p:3128", variable: "HTTPS_PROXY" };

const failWith = (code: string, message = "message") => Object.assign(new Error(message), { code });

test.each([
  [
    "EAI_AGAIN",
    /^The name server does not respond to a query for a\.example\.com \(EAI_AGAIN\)\. Check this machine's network\.$/,
  ],
  [
    "ETIMEDOUT",
    /^a\.example\.com can't be reached \(ETIMEDOUT\)\. A firewall may block it\. .*set HTTPS_PROXY\.$/,
  ],
  ["EHOSTUNREACH", /^a\.example\.com can't be reached \(EHOSTUNREACH\)/],
  ["ENETUNREACH", /^a\.example\.com can't be reached \(ENETUNREACH\)/],
  ["ECONNRESET", /^a\.example\.com closed the connection before its response was complete \(ECONNRESET\)\.$/],
  ["EMFILE", /^message \(EMFILE\)\.$/],
])("explains %s, and that another attempt may help", (code, text) => {
  const explained = explainConnectionError(failWith(code), URLS.direct, undefined);
  expect(explained).toEqual({ text: expect.stringMatching(text), isPermanent: false });
});

test.each([
  ["CERT_NOT_YET_VALID", /is not valid yet \(CERT_NOT_YET_VALID\)\. Is this machine's clock right\?$/],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", /does not trust \(UNABLE_TO_GET_ISSUER_CERT_LOCALLY\)/],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", /does not trust \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/],
  ["SELF_SIGNED_CERT_IN_CHAIN", /does not trust \(SELF_SIGNED_CERT_IN_CHAIN\)/],
  ["CERT_REVOKED", /^The TLS handshake with a\.example\.com failed: message \(CERT_REVOKED\)\.$/],
  ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", /^The TLS handshake with a\.example\.com failed: message/],
])("explains %s, and that another attempt can't help", (code, text) => {
  const explained = explainConnectionError(failWith(code), URLS.direct, undefined);
  expect(explained).toEqual({ text: expect.stringMatching(text), isPermanent: true });
});

test("explains a response that is not HTTP, and one that is TLS", () => {
  const error = failWith("HPE_INVALID_CONSTANT");
  const explain = (first: number) =>
    explainConnectionError(
      Object.assign(error, { rawPacket: Buffer.of(first, 3, 1) }),
      URLS.local,
      undefined,
    );
  expect(explain(0x15).text).toBe("localhost:8787 uses TLS. Does the URL begin with https://?");
  expect(explain(0x53).text).toBe("localhost:8787 does not respond with HTTP (HPE_INVALID_CONSTANT).");
});

test("names the proxy, without its password, for errors of the proxy and behind it", () => {
  const codes = [
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ETIMEDOUT",
    "ECONNRESET",
    "CERT_HAS_EXPIRED",
    "ERR_PROXY_TUNNEL",
  ];
  for (const code of codes) {
    const { text } = explainConnectionError(failWith(code), URLS.direct, PROXY);
    expect(text).toMatch(/\bp(:3128)?\b/);
    expect(text).not.toContain("secret");
  }
});

test("advises a proxy only for hosts that are not this machine", () => {
  expect(explainConnectionError(failWith("ECONNREFUSED"), URLS.local, undefined).text).not.toContain("PROXY");
  expect(explainConnectionError(failWith("ECONNREFUSED"), URLS.direct, undefined).text).toContain(
    "HTTPS_PROXY",
  );
});
