import { writeSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findProgram } from "../../support/node/find-program.ts";
import { writeApp } from "../app.ts";
import { AZURE_CREDENTIALS, azureServer } from "../azure-server.ts";
import { makeNames } from "../blobs.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { startFakeCache, TOKEN } from "../fake-cache.ts";
import { startProxyServer } from "../proxy-server.ts";
import { S3_CREDENTIALS, s3Server } from "../s3-server.ts";
import { createAuthority, startTls } from "../tls.ts";
import { DONE, interrupted, list, NAME, startCache, startSocketServer } from "./list.ts";

const STDERR = 2;
const openssl = findProgram("openssl");
if (!openssl) writeSync(STDERR, "\nSkipped the tests of certificate authorities: install openssl.\n");
const testTls = openssl ? test.concurrent : test.skip;

const readText = (path: string) => readFile(path, "utf8");

testTls("trusts --ca-file, NODE_EXTRA_CA_CERTS and the system's authorities", async () => {
  const authority = await createAuthority();
  const cache = await startCache();
  const certificate = await authority.issue({ names: "DNS:localhost" });
  const url = `https://localhost:${await startTls(certificate, cache.url)}`;
  const cwd = await temporaryDirectory();
  const other = await createAuthority();
  await writeFile(
    join(cwd, "both.pem"),
    `# Ours\n${await readText(other.path)}\n${await readText(authority.path)}`,
  );
  const none = {
    SSL_CERT_FILE: other.path,
    SSL_CERT_DIR: await temporaryDirectory(),
    NODE_EXTRA_CA_CERTS: other.path,
    CF_TOKEN: TOKEN,
  };
  const run = (env: Record<string, string>, ...args: string[]) =>
    resourcePool(["list", "--url", url, ...args], { cwd, env: { ...none, ...env } });
  const outcomes = await Promise.all([
    run({}),
    run({}, "--ca-file", "both.pem"),
    run({ NODE_EXTRA_CA_CERTS: authority.path }),
    run({ SSL_CERT_FILE: authority.path }),
  ]);
  expect(outcomes.map(({ code }) => code)).toEqual([1, 0, 0, 0]);
  expect(outcomes[0]?.stderr).toMatch(
    /^No response from \S+: The certificate of localhost:\d+ is from an authority that this machine does not trust \(\w+\)\. .*--ca-file <PEM file>\.\n$/,
  );
});

testTls(
  "fails without a retry if an http:// URL leads to a server that uses TLS and closes the connection",
  async () => {
    const cache = await startCache();
    const certificate = await (await createAuthority()).issue({ names: "DNS:localhost" });
    const port = await startTls(certificate, cache.url);
    for (const host of ["localhost", "127.0.0.1"]) {
      const outcome = await list(`http://${host}:${port}`);
      expect(outcome).toMatchObject({ code: 1, isDone: false });
      expect(outcome.stderr).toMatch(
        new RegExp(
          `^No response from \\S+: ${host}:${port} uses TLS\\. Does the URL begin with https://\\?\n$`,
        ),
      );
    }
  },
);

test.concurrent("retries at an http:// URL whose server closes each connection", async () => {
  const port = await startSocketServer((socket) => socket.destroy());
  const { stderr } = await interrupted(`http://127.0.0.1:${port}`);
  expect(stderr).toMatch(/ closed the connection .* Does it require https:\/\/\?\nRetrying in 1 s\.\n/);
});

testTls(
  "trusts an intermediate authority without its root, and the server's certificate itself",
  async () => {
    const intermediate = await (await createAuthority()).delegate();
    const cache = await startCache();
    const certificate = await intermediate.issue({ names: "DNS:localhost" });
    const url = `https://localhost:${await startTls(certificate, cache.url)}`;
    expect(await list(url, {}, "--ca-file", intermediate.path)).toEqual(DONE);
    expect(await list(url, {}, "--ca-file", certificate.path)).toEqual(DONE);
  },
);

testTls("sends the token only inside the tunnel of the proxy", async () => {
  const authority = await createAuthority();
  const cache = await startCache();
  const certificate = await authority.issue({ names: `DNS:${NAME}` });
  const port = await startTls(certificate, cache.url);
  const proxy = await startProxyServer({ hosts: { [`${NAME}:443`]: port }, login: "me:secret" });
  const HTTPS_PROXY = proxy.url.replace("//", "//me:secret@");
  expect(await list(`https://${NAME}`, { HTTPS_PROXY }, "--ca-file", authority.path)).toEqual(DONE);
  expect(proxy.requests).toEqual([{ method: "CONNECT", url: `${NAME}:443`, authorization: undefined }]);

  const untrusted = await list(`https://${NAME}`, { HTTPS_PROXY });
  expect(untrusted.stderr).toMatch(
    new RegExp(
      `does not trust .*\\. The request went through the proxy ${proxy.url} \\(HTTPS_PROXY\\)\\.\n$`,
    ),
  );
});

testTls("connects to a proxy that itself uses TLS", async () => {
  const authority = await createAuthority();
  const cache = await startCache();
  const certificate = await authority.issue({ names: `DNS:${NAME},DNS:localhost` });
  const port = await startTls(certificate, cache.url);
  const proxy = await startProxyServer({ hosts: { [`${NAME}:443`]: port } });
  const HTTPS_PROXY = `https://localhost:${await startTls(certificate, proxy.url)}`;
  expect(await list(`https://${NAME}`, { HTTPS_PROXY }, "--ca-file", authority.path)).toEqual(DONE);
});

testTls.each([
  ["s3://pool", s3Server, ""],
  ["azure://pool", azureServer, "/devstoreaccount1"],
] as const)("lists %s through the proxy, with the same authorities", async (place, startBlobstore, path) => {
  const authority = await createAuthority();
  const blobs = makeNames(50);
  const certificate = await authority.issue({ names: "IP:192.0.2.1" });
  const blobstore = await startBlobstore(await temporaryDirectory(), "pool", blobs);
  const proxy = await startProxyServer({
    hosts: { "192.0.2.1:443": await startTls(certificate, blobstore) },
  });
  const cache = await startFakeCache();
  const endpoint = `https://192.0.2.1${path}`;
  const sync = ["sync", "--blobstore", place, "--endpoint", endpoint, ...cache.urlOption];
  // Azure's own client fails for these variables.
  const proxies = { HTTPS_PROXY: proxy.host, ALL_PROXY: "127.0.0.1:9" };
  const env = { ...cache.env, ...S3_CREDENTIALS, ...AZURE_CREDENTIALS, ...proxies };
  const untrusted = await resourcePoolInThread(sync, { env });
  expect(untrusted).toMatchObject({ code: 1, stdout: "" });
  expect(untrusted.stderr).toMatch(
    /^Can't list \S+: No response from https:\S+: The certificate of .* does not trust/,
  );
  const trusted = await resourcePoolInThread([...sync, "--ca-file", authority.path], { env });
  expect(trusted).toMatchObject({ code: 0, stderr: "" });
  expect(cache.present.size).toBe(50);
  expect(proxy.requests.length).toBeGreaterThan(1);
});

testTls.each([
  [
    "has another name",
    { names: "DNS:other.example.com" },
    /is for DNS:other\.example\.com, and not for this host \(ERR_TLS_CERT_ALTNAME_INVALID\)\. Check the host of the URL\.\n$/,
  ],
  [
    "has expired",
    { names: "DNS:localhost", days: -1 },
    /has expired \(CERT_HAS_EXPIRED\)\. Renew it\. .*clock\.\n$/,
  ],
])("explains a certificate that %s", async (_, options, message) => {
  const authority = await createAuthority();
  const cache = await startCache();
  const port = await startTls(await authority.issue(options), cache.url);
  const outcome = await list(`https://localhost:${port}`, {}, "--ca-file", authority.path);
  expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(message) });
  expect(outcome.stderr).not.toContain("Retrying");
});

testTls("refuses a --ca-file without certificates, and says what it is", async () => {
  const authority = await createAuthority();
  const { keyPath } = await authority.issue({ names: "DNS:a" });
  const cwd = await temporaryDirectory();
  const pem = await readText(authority.path);
  await writeApp(cwd, { "damaged.pem": pem.replace(/\n.{20}/, "\n"), "text.pem": "hello" });
  await writeFile(join(cwd, "ca.der"), Buffer.from(pem.replace(/-----.*?-----/g, ""), "base64"));
  const cases: [path: string, message: RegExp][] = [
    ["", /^--ca-file is empty\./],
    ["missing.pem", /^Can't read the --ca-file missing\.pem: it does not exist$/m],
    [
      "ca.der",
      /has the DER format\. Convert it to PEM: openssl x509 -inform der -in ca\.der -out ca\.pem\n$/,
    ],
    [keyPath, /has a private key, and no certificate\./],
    ["damaged.pem", /^Certificate 1 of the --ca-file damaged\.pem is damaged: /],
    ["text.pem", /has no certificate in the PEM format/],
  ];
  for (const [path, message] of cases) {
    const options = { cwd, env: { CF_TOKEN: TOKEN } };
    const args = ["list", "--url", "http://127.0.0.1:9", "--ca-file", path];
    const outcome = await resourcePoolInThread(args, options);
    expect(outcome).toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(message) });
  }
});
