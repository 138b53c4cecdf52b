import { expect, test } from "vitest";
import { uploadLimitFindings } from "../../../src/cli/doctor/upload-limit.ts";
import { startServer } from "../endpoint.ts";
import { TOKEN } from "../fake-cache.ts";
import { startProxyServer } from "../proxy-server.ts";
import { DONE, interrupted, list, NAME, startCache, startSocketServer } from "./list.ts";

test.concurrent.each(["HTTP_PROXY", "http_proxy"])(
  "sends requests to http:// through %s",
  async (variable) => {
    const cache = await startCache();
    const proxy = await startProxyServer({ hosts: { [`${NAME}:8080`]: Number(new URL(cache.url).port) } });
    expect(await list(`http://${NAME}:8080`, { [variable]: proxy.url })).toEqual(DONE);
    const url = `http://${NAME}:8080/v3/resource_matches/cache/resources`;
    expect(proxy.requests).toEqual([{ method: "GET", url, authorization: `bearer ${TOKEN}` }]);
  },
);

test.concurrent("reaches servers on this machine and those of NO_PROXY without it", async () => {
  const cache = await startCache();
  const unused = { HTTP_PROXY: "http://127.0.0.1:9", HTTPS_PROXY: "http://127.0.0.1:9" };
  expect(await list(cache.url, unused)).toEqual(DONE);
  expect(await list(cache.url.replace("127.0.0.1", "localhost"), unused)).toEqual(DONE);
  const excluded = await list(`http://${NAME}:8080`, { ...unused, NO_PROXY: "other, .company.invalid" });
  expect(excluded.code).toBe(1);
  expect(excluded.stderr).toMatch(
    new RegExp(
      `^No response from http://${NAME}:8080/\\S+: The name of the host ${NAME} can't be resolved \\(ENOTFOUND\\)\\.`,
    ),
  );
});

test.concurrent("logs in with the user and the password of its URL, and never prints them", async () => {
  const cache = await startCache();
  const hosts = { [`${NAME}:8080`]: Number(new URL(cache.url).port) };
  const proxy = await startProxyServer({ hosts, login: "me:s e/cret" });
  const withLogin = (login: string) => ({ HTTP_PROXY: `http://${login}@${proxy.host}` });
  expect(await list(`http://${NAME}:8080`, withLogin("me:s%20e%2Fcret"))).toEqual(DONE);

  const wrong = await list(`http://${NAME}:8080`, withLogin("me:hush-hush"));
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toMatch(
    new RegExp(
      `: The proxy ${proxy.url} refuses the user or the password in HTTP_PROXY \\(407\\)\\. Correct them\\.\n$`,
    ),
  );
  const invalid = await list(`http://${NAME}:8080`, {
    HTTP_PROXY: `socks5://me:hush-hush@${proxy.host}`,
  });
  expect(invalid.code).toBe(2);
  expect(invalid.stderr).toBe(
    "HTTP_PROXY must be the URL of an HTTP proxy, like http://proxy.example.com:3128, not " +
      `socks5://***@${proxy.host}. Other kinds of proxies, like SOCKS, are not supported.\n`,
  );
  for (const { stderr } of [wrong, invalid]) expect(stderr).not.toContain("hush-hush");
});

test.concurrent("accepts a proxy without a scheme, and prints what is wrong with one that is no proxy", async () => {
  const cache = await startCache();
  const proxy = await startProxyServer({ hosts: { [`${NAME}:8080`]: Number(new URL(cache.url).port) } });
  expect(await list(`http://${NAME}:8080`, { HTTP_PROXY: proxy.host })).toEqual(DONE);

  const closing = await startSocketServer((socket) => socket.once("data", () => socket.end()));
  const cases: [proxy: string, message: RegExp][] = [
    [
      "http://127.0.0.1:9",
      /No server accepts connections at the proxy 127\.0\.0\.1:9 \(ECONNREFUSED\)\. Check HTTPS_PROXY\./,
    ],
    [
      "http://proxy.invalid:1",
      /The name of the proxy proxy\.invalid can't be resolved \(ENOTFOUND\)\. Check HTTPS_PROXY\./,
    ],
    [
      `http://127.0.0.1:${closing}`,
      /http:\/\/127\.0\.0\.1:\d+ closed the connection instead of connecting to \S+\. Is HTTPS_PROXY a proxy\?/,
    ],
  ];
  for (const [HTTPS_PROXY, message] of cases) {
    const outcome = await list(`https://${NAME}`, { HTTPS_PROXY });
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(message) });
    expect(outcome.stderr).not.toContain("Retrying");
  }
});

test.concurrent.each([
  [
    407,
    /requires a user and a password \(407\)\. Set HTTPS_PROXY to http:\/\/<user>:<password>@127\.0\.0\.1:\d+\n$/,
  ],
  [403, /refuses to connect to worker\.company\.invalid \(403\)\. .* add it to NO_PROXY\.\n$/],
])("explains a %d of the proxy", async (code, message) => {
  const proxy = await startProxyServer({ status: code });
  const outcome = await list(`https://${NAME}`, { HTTPS_PROXY: proxy.url });
  expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(message) });
  expect(outcome.stderr).not.toContain("Retrying");
});

test.concurrent("retries if the proxy can't connect to the host", async () => {
  const proxy = await startProxyServer();
  const outcome = await interrupted(`https://${NAME}`, { HTTPS_PROXY: proxy.url });
  expect(outcome.stderr).toMatch(
    /^No response from \S+: The proxy \S+ can't connect to worker\.company\.invalid \(502\)\. Check the host .*\nRetrying in 1 s\.\n/,
  );
});

test.concurrent("says that an error may be from the proxy if it could read the request", async () => {
  const proxy = await startProxyServer();
  const outcome = await interrupted(`http://${NAME}`, { HTTP_PROXY: proxy.url });
  expect(outcome.stderr).toMatch(
    new RegExp(
      `returned 502: Unknown host\nThe response may be from the proxy ${proxy.url} \\(HTTP_PROXY\\)\\.\n`,
    ),
  );
});

test("declares the upload of `doctor` through the proxy", async () => {
  let declared = 0;
  const url = await startServer((request, response) => {
    declared += Number(request.headers["content-length"]);
    response.writeHead(413).end();
  });
  const proxy = await startProxyServer({ hosts: { [`${NAME}:8080`]: Number(new URL(url).port) } });
  const api = { url: `http://${NAME}:8080`, token: TOKEN };
  const headers = new Headers({ Server: "cloudflare", "CF-RAY": "1" });
  process.env.HTTP_PROXY = proxy.url;
  const finding = uploadLimitFindings(
    api,
    { status: 200, headers, body: "", target: api.url },
    1_000_000,
  ).next();
  delete process.env.HTTP_PROXY;
  expect((await finding).value).toMatchObject({
    level: "FAIL",
    text: expect.stringContaining("is refused (413)"),
  });
  expect(declared).toBe(1_000_000);
  expect(proxy.requests).toEqual([expect.objectContaining({ method: "POST", authorization: undefined })]);
});
