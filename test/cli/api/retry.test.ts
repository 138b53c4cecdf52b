import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { sha1Of } from "../app.ts";
import { makeBlobs, makeNames } from "../blobs.ts";
import { resourcePool, resourcePoolInThread } from "../command.ts";
import { answer, fakeCache, refuse } from "../fake-cache.ts";

const asLines = (keys: readonly string[]) => keys.map((key) => key.replace(":", " ")).join("\n");

/** Reads what is being sent, and cuts the connection. */
const cut = (response: ServerResponse, request: IncomingMessage) =>
  request.resume().on("end", () => response.destroy());

test.concurrent("a batch lands through a 429, a 500, a 503 and cut connections, after what the server asks for", async () => {
  const cache = await fakeCache();
  const keys = makeBlobs(3).map(({ key }) => key);
  let refusedAt = 0;
  cache.faults.push(
    (response) => refuse(response, 500, "An unknown error occurred."),
    (response) => response.destroy(),
    cut,
    (response) => {
      response.writeHead(200, { "Content-Length": "1000" }).write('{"changed":');
      setImmediate(() => response.destroy());
    },
    (response) => {
      refusedAt = performance.now();
      refuse(response, 429, "Rate Limit Exceeded", { "Retry-After": "2" });
    },
  );

  const outcome = await resourcePool(["import", "-", ...cache.to], { env: cache.env, input: asLines(keys) });

  expect(outcome).toMatchObject({
    code: 0,
    stdout: "3 resources added, 0 already there, 0 skipped, 0 left out\n",
  });
  expect(outcome.stderr).toContain(
    "answered 500: An unknown error occurred. (CF-Test, 1)\nTrying again in 1 s.",
  );
  expect(outcome.stderr).toContain("answered 429: Rate Limit Exceeded (CF-Test, 1)\nTrying again in 2 s.");
  expect(outcome.stderr.match(/No answer from/g)).toHaveLength(3);
  expect(cache.present).toEqual(new Set(keys));
  const [told] = cache.told;
  expect((told?.at ?? 0) - refusedAt).toBeGreaterThanOrEqual(1_990);
  // However long it takes to be told, what was seen at the beginning is as old, by the Worker's own clock.
  expect(told?.asOf).toBeLessThanOrEqual(cache.now() - (2 + 0.375 + 0.75 + 1.5 + 3) * 1000);
  expect(told?.asOf).toBeLessThanOrEqual(cache.askedAt[0] ?? 0);
});

test.concurrent("a token that expires in the middle: what has landed is told, and what to do; run again, it goes on", async () => {
  const cache = await fakeCache();
  const keys = makeNames(50_100).map(({ key }) => key);
  cache.faults.push(
    () => false,
    (response, request) => request.resume().on("end", () => refuse(response, 401, "Invalid Auth Token")),
  );
  const run = () =>
    resourcePoolInThread(["import", "-", ...cache.to], { env: cache.env, input: asLines(keys) });

  const first = await run();
  expect(first).toMatchObject({ code: 1, stdout: "" });
  expect(first.stderr).toMatch(
    /answered 401: Invalid Auth Token \(CF-Test, 1\)\n.*export CF_TOKEN="\$\(cf oauth-token\)"\n50,000 resources had landed before: run the same command again to go on\.\n$/,
  );
  expect(await run()).toMatchObject({
    code: 0,
    stdout: "100 resources added, 50,000 already there, 0 skipped, 0 left out\n",
  });
  expect(cache.present).toEqual(new Set(keys));
});

test.concurrent("a token that is no good from the beginning is told, and nothing is tried again", async () => {
  const cache = await fakeCache();
  const outcome = await resourcePoolInThread(["remove", sha1Of("x"), ...cache.to, "--token", "expired"]);
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toContain("answered 401: Invalid Auth Token");
  expect(outcome.stderr).not.toContain("Trying again");
  expect(outcome.stderr).not.toContain("expired\n");
});

test.concurrent("a Ctrl-C lets the running batch finish and says what has landed; run again, nothing is missing", async () => {
  const cache = await fakeCache();
  const keys = makeNames(50_100).map(({ key }) => key);
  let signal = () => {};
  let notice = () => {};
  const noticed = new Promise<void>((resolve) => {
    notice = resolve;
  });
  // The first batch is answered only after the command has noticed the interrupt.
  cache.faults.push(async () => {
    signal();
    await noticed;
    return false;
  });
  const command = ["import", "-", "--json", ...cache.to];
  const first = await resourcePool(command, {
    env: cache.env,
    input: asLines(keys),
    onStart: (child) => {
      signal = () => child.kill("SIGINT");
      child.stderr?.on("data", (data) => String(data).includes("finishing the running batch") && notice());
    },
  });
  expect(first.code).toBe(130);
  expect(JSON.parse(first.stdout)).toMatchObject({ added: 50_000, alreadyThere: 0, interrupted: true });
  expect(first.stderr).toContain("run the same command again to go on");
  expect(cache.present.size).toBe(50_000);

  const second = await resourcePoolInThread(command, { env: cache.env, input: asLines(keys) });
  expect(JSON.parse(second.stdout)).toMatchObject({
    added: 100,
    alreadyThere: 50_000,
    interrupted: false,
  });
  expect(cache.present).toEqual(new Set(keys));
});

test.concurrent("a Ctrl-C ends the waiting for a server that is in trouble", async () => {
  const cache = await fakeCache();
  cache.faults.push((response) => refuse(response, 503, "down", { "Retry-After": "300" }));
  const outcome = await resourcePool(["import", "-", "--json", ...cache.to], {
    env: cache.env,
    input: asLines(makeBlobs(3).map(({ key }) => key)),
    onStart: (child) => {
      child.stderr?.on(
        "data",
        (data) => String(data).includes("Trying again in 300 s") && child.kill("SIGINT"),
      );
    },
  });
  expect(outcome.code).toBe(130);
  expect(JSON.parse(outcome.stdout)).toMatchObject({ added: 0, interrupted: true });
});

test.concurrent("a second Ctrl-C ends it at once", async () => {
  const cache = await fakeCache();
  let signal = () => {};
  // This batch is never answered.
  cache.faults.push(() => signal());
  const outcome = await resourcePool(["import", "-", ...cache.to], {
    env: cache.env,
    input: asLines(makeBlobs(3).map(({ key }) => key)),
    onStart: (child) => {
      signal = () => child.kill("SIGINT");
      child.stderr?.on(
        "data",
        (data) => String(data).includes("again stops at once") && child.kill("SIGINT"),
      );
    },
  });
  expect(outcome).toMatchObject({ code: 130, stdout: "" });
});

test.concurrent.each([
  ["a 403", 403, {}, /answered 403: no \(CF-Test, 1\)\n.*scope cloud_controller\.admin;.*\n$/],
  ["a 404", 404, {}, /answered 404: no.*\n.*is --url the API's address.*route end with a star\?\n$/],
  ["a 422", 422, {}, /answered 422: no/],
  ["a redirect", 302, { Location: "https://elsewhere.example.com/" }, /It points to https:\/\/elsewhere/],
  ["another's 200", 200, {}, /answered 200, but not as a resource cache does/],
])("%s is told and not tried again", async (_, status, headers, message) => {
  const cache = await fakeCache();
  cache.faults.push((response) =>
    status === 200 ? response.end("<html>") : refuse(response, status, "no", headers),
  );
  const outcome = await resourcePoolInThread(["remove", sha1Of("x"), ...cache.to], { env: cache.env });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(message);
  expect(outcome.stderr).not.toContain("Trying again");
});

const AT = ["--token", "x"];

/** Somewhere that nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test.concurrent("an address where nobody has ever answered is given up after the second attempt, with what may be wrong", async () => {
  const { port: plain } = new URL((await fakeCache()).url);
  const addresses: [string, RegExp][] = [
    [`http://127.0.0.1:${await closedPort()}`, /connect ECONNREFUSED 127\.0\.0\.1:\d+$/],
    [
      `https://127.0.0.1:${plain}`,
      new RegExp(`: 127\\.0\\.0\\.1:${plain} does not speak TLS there: is it http://\\?$`),
    ],
  ];
  await Promise.all(
    addresses.map(async ([url, reason]) => {
      const outcome = await resourcePoolInThread(["status", "--url", url, ...AT]);
      expect(outcome).toMatchObject({ code: 1, stdout: "" });
      const complaint = new RegExp(`^No answer from ${url}/\\S+: `);
      expect(outcome.stderr.split("\n")).toEqual([
        expect.stringMatching(complaint),
        "Trying again in 1 s.",
        expect.stringMatching(complaint),
        "Nobody has answered there: is the address right?",
        "",
      ]);
      for (const line of outcome.stderr.split("\n").filter((line) => line.startsWith("No answer"))) {
        expect(line).toMatch(reason);
      }
    }),
  );
});

test.concurrent("an address that has answered before, and where nobody listens for a while, is tried on", async () => {
  const server = createServer((_, response) => {
    const status = { time: new Date().toISOString(), entries: 0, configuration: {} };
    answer(response, 200, status, { Connection: "close" });
    // The next request finds nobody.
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const outcome = await resourcePool(["import", "-", "--url", `http://127.0.0.1:${port}`, ...AT], {
    input: asLines(makeBlobs(3).map(({ key }) => key)),
    onStart: (child) => {
      let said = "";
      child.stderr?.on("data", (data) => {
        said += data;
        if (said.split("ECONNREFUSED").length > 3) child.kill("SIGINT");
      });
    },
  });
  expect(outcome.code).toBe(130);
  expect(outcome.stderr).not.toContain("is the address right");
});
