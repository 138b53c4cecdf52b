import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test, vi } from "vitest";
import { retry } from "../../../src/cli/api/retry.ts";
import { NoResponse } from "../../../src/cli/api/send.ts";
import { sha1Of } from "../app.ts";
import { makeBlobs, makeNames } from "../blobs.ts";
import { resourcePool, resourcePoolInThread } from "../command.ts";
import { respond, respondWithError, startFakeCache } from "../fake-cache.ts";

const asLines = (keys: readonly string[]) => keys.map((key) => key.replace(":", " ")).join("\n");

/** Reads the request, then closes the connection. */
const closeAfterRequest = (response: ServerResponse, request: IncomingMessage) =>
  request.resume().on("end", () => response.destroy());

test.concurrent("saves a batch after a 429, a 500 and lost connections, and waits for Retry-After", async () => {
  const cache = await startFakeCache();
  const keys = makeBlobs(3).map(({ key }) => key);
  let refusedAt = 0;
  cache.faults.push(
    (response) => respondWithError(response, 500, "An unknown error occurred."),
    (response) => response.destroy(),
    closeAfterRequest,
    (response) => {
      response.writeHead(200, { "Content-Length": "1000" }).write('{"changed":');
      setImmediate(() => response.destroy());
    },
    (response) => {
      refusedAt = performance.now();
      respondWithError(response, 429, "Rate Limit Exceeded", { "Retry-After": "2" });
    },
  );

  const outcome = await resourcePool(["import", "-", ...cache.urlOption], {
    env: cache.env,
    input: asLines(keys),
  });

  expect(outcome).toMatchObject({
    code: 0,
    stdout: "3 resources added, 0 already present, 0 skipped, 0 invalid\n",
  });
  expect(outcome.stderr).toContain("returned 500: An unknown error occurred. (CF-Test, 1)\nRetrying in 1 s.");
  expect(outcome.stderr).toContain("returned 429: Rate Limit Exceeded (CF-Test, 1)\nRetrying in 2 s.");
  // The three lost connections have the same message.
  expect(outcome.stderr.match(/No response from .*(\nRetrying in \d+ s\.){3}$/gm)).toHaveLength(1);
  expect(cache.present).toEqual(new Set(keys));
  const [received] = cache.received;
  expect((received?.receivedAt ?? 0) - refusedAt).toBeGreaterThanOrEqual(1_990);
  // Retries do not make the observation newer: it has the time of the start, by the Worker's own clock.
  expect(received?.asOf).toBeLessThanOrEqual(cache.now() - (2 + 0.375 + 0.75 + 1.5 + 3) * 1000);
  expect(received?.asOf).toBeLessThanOrEqual(cache.statusRequestedAt[0] ?? 0);
});

test.concurrent("prints how many resources were saved when the token expires, and saves the others in the next run", async () => {
  const cache = await startFakeCache();
  const keys = makeNames(50_100).map(({ key }) => key);
  cache.faults.push(
    () => false,
    (response, request) =>
      request.resume().on("end", () => respondWithError(response, 401, "Invalid Auth Token")),
  );
  const run = () =>
    resourcePoolInThread(["import", "-", ...cache.urlOption], { env: cache.env, input: asLines(keys) });

  const first = await run();
  expect(first).toMatchObject({ code: 1, stdout: "" });
  expect(first.stderr).toMatch(
    /returned 401: Invalid Auth Token \(CF-Test, 1\)\n.*export CF_TOKEN="\$\(cf oauth-token\)".*\nSaved 50,000 resources before that\. Run the command again to continue\.\n$/,
  );
  expect(await run()).toMatchObject({
    code: 0,
    stdout: "100 resources added, 50,000 already present, 0 skipped, 0 invalid\n",
  });
  expect(cache.present).toEqual(new Set(keys));
});

test.concurrent("fails without a retry when the token is invalid from the start, and does not print it", async () => {
  const cache = await startFakeCache();
  const outcome = await resourcePoolInThread([
    "remove",
    sha1Of("x"),
    ...cache.urlOption,
    "--token",
    "expired",
  ]);
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toContain("returned 401: Invalid Auth Token");
  expect(outcome.stderr).not.toContain("Retrying");
  expect(outcome.stderr).not.toContain("expired\n");
});

test.concurrent("finishes the running batch on Ctrl-C, and sends the other batches in the next run", async () => {
  const cache = await startFakeCache();
  const keys = makeNames(50_100).map(({ key }) => key);
  let signal = () => {};
  let notice = () => {};
  const noticed = new Promise<void>((resolve) => {
    notice = resolve;
  });
  // The response to the first batch waits until the command has handled the interrupt.
  cache.faults.push(async () => {
    signal();
    await noticed;
    return false;
  });
  const command = ["import", "-", "--json", ...cache.urlOption];
  const first = await resourcePool(command, {
    env: cache.env,
    input: asLines(keys),
    onStart: (child) => {
      signal = () => child.kill("SIGINT");
      child.stderr?.on("data", (data) => String(data).includes("Finishing the running batch") && notice());
    },
  });
  expect(first.code).toBe(130);
  expect(JSON.parse(first.stdout)).toMatchObject({ added: 50_000, alreadyPresent: 0, interrupted: true });
  expect(first.stderr).toContain("The batches above were saved. Run the command again to continue.");
  expect(cache.present.size).toBe(50_000);

  const second = await resourcePoolInThread(command, { env: cache.env, input: asLines(keys) });
  expect(JSON.parse(second.stdout)).toMatchObject({
    added: 100,
    alreadyPresent: 50_000,
    interrupted: false,
  });
  expect(cache.present).toEqual(new Set(keys));
});

test.concurrent("prints the title of a page instead of its HTML, and that a server uses TLS", async () => {
  const cache = await startFakeCache();
  // The response of nginx.
  const title = "400 The plain HTTP request was sent to HTTPS port";
  cache.faults.push((response) =>
    response.writeHead(400).end(`<html>\n<head><title>${title}</title></head>`),
  );
  const outcome = await resourcePoolInThread(["remove", sha1Of("x"), ...cache.urlOption], { env: cache.env });
  const page = `${cache.url}/v3/resource_matches/cache/observations returned 400 with a web page: "${title}"`;
  const stderr = `${page}\nThe server uses TLS. The URL must begin with https://.\n`;
  expect(outcome).toEqual({ code: 1, stdout: "", stderr });
});

test.concurrent("stops waiting for Retry-After on Ctrl-C", async () => {
  const cache = await startFakeCache();
  cache.faults.push((response) => respondWithError(response, 503, "down", { "Retry-After": "300" }));
  const outcome = await resourcePool(["import", "-", "--json", ...cache.urlOption], {
    env: cache.env,
    input: asLines(makeBlobs(3).map(({ key }) => key)),
    onStart: (child) => {
      child.stderr?.on("data", (data) => String(data).includes("Retrying in 300 s") && child.kill("SIGINT"));
    },
  });
  expect(outcome.code).toBe(130);
  expect(JSON.parse(outcome.stdout)).toMatchObject({ added: 0, interrupted: true });
});

test.concurrent("ends immediately on the second Ctrl-C", async () => {
  const cache = await startFakeCache();
  let signal = () => {};
  // This batch gets no response.
  cache.faults.push(() => signal());
  const outcome = await resourcePool(["import", "-", ...cache.urlOption], {
    env: cache.env,
    input: asLines(makeBlobs(3).map(({ key }) => key)),
    onStart: (child) => {
      signal = () => child.kill("SIGINT");
      child.stderr?.on(
        "data",
        (data) => String(data).includes("again to stop immediately") && child.kill("SIGINT"),
      );
    },
  });
  expect(outcome).toMatchObject({ code: 130, stdout: "" });
});

test.concurrent.each([
  ["a 403", 403, {}, /returned 403: no \(CF-Test, 1\)\n.*scope cloud_controller\.admin\. .*\n$/],
  [
    "a 404",
    404,
    {},
    /returned 404: no.*\nThere is no Worker at this address\. .*route end with a star\? .*own URL\.\n$/,
  ],
  ["a 422", 422, {}, /returned 422: no/],
  ["a redirect", 302, { Location: "https://elsewhere.example.com/" }, /It redirects to https:\/\/elsewhere/],
  [
    "a 200 of another server",
    200,
    {},
    /returned 200 with a web page\.\nThis is not a response of a Worker of this project\. Is --url right\?/,
  ],
])("fails after %s without a retry", async (_, status, headers, message) => {
  const cache = await startFakeCache();
  cache.faults.push((response) =>
    status === 200 ? response.end("<html>") : respondWithError(response, status, "no", headers),
  );
  const outcome = await resourcePoolInThread(["remove", sha1Of("x"), ...cache.urlOption], { env: cache.env });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(message);
  expect(outcome.stderr).not.toContain("Retrying");
});

const AT = ["--token", "x"];

/** A port where no server listens. */
async function findClosedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test.concurrent("gives up without a retry at an address that has never responded, and explains why", async () => {
  const { port: plain } = new URL((await startFakeCache()).url);
  const closed = await findClosedPort();
  const addresses = [
    [
      `http://127.0.0.1:${closed}`,
      `No server accepts connections at 127.0.0.1:${closed} (ECONNREFUSED). Check the host and the port of the URL.`,
    ],
    [`https://127.0.0.1:${plain}`, `127.0.0.1:${plain} does not use TLS. Does the URL begin with http://?`],
  ] as const;
  await Promise.all(
    addresses.map(async ([url, reason]) => {
      const outcome = await resourcePoolInThread(["status", "--url", url, ...AT]);
      const stderr = `No response from ${url}/v3/resource_matches/cache: ${reason}\n`;
      expect(outcome).toEqual({ code: 1, stdout: "", stderr });
    }),
  );
});

test.concurrent("keeps retrying an address that has responded before", async () => {
  const server = createServer((_, response) => {
    const status = { time: new Date().toISOString(), entries: 0, configuration: {} };
    respond(response, 200, status, { Connection: "close" });
    // The next request gets no response.
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const outcome = await resourcePool(["import", "-", "--url", `http://127.0.0.1:${port}`, ...AT], {
    input: asLines(makeBlobs(3).map(({ key }) => key)),
    onStart: (child) => {
      let output = "";
      child.stderr?.on("data", (data) => {
        output += data;
        if (/ECONNREFUSED.*(\nRetrying in \d+ s\.){3}/.test(output)) child.kill("SIGINT");
      });
    },
  });
  expect(outcome.code).toBe(130);
});

test("retries once after a connection was lost at the end of a long upload", async () => {
  let now = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  const attempt = vi.fn(async () => {
    now += 100_000;
    throw new NoResponse("lost", false);
  });
  const outcome = retry(attempt, () => true, new AbortController().signal).catch((error) => error);
  expect(await outcome).toMatchObject({ reason: "failed", message: "lost\nGave up after 2 attempts." });
  expect(attempt).toHaveBeenCalledTimes(2);
  clock.mockRestore();
});
