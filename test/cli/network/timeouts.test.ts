import { execFile } from "node:child_process";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { writeApp } from "../app.ts";
import { AZURE_CREDENTIALS } from "../azure-server.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "../command.ts";
import { startServer } from "../endpoint.ts";
import { respondWithError, TOKEN } from "../fake-cache.ts";
import { fastClock } from "../fast-clock.ts";
import { S3_CREDENTIALS } from "../s3-server.ts";
import { NAME, RESOURCE, startCache, startSocketServer } from "./list.ts";

const runs: (() => Promise<void>)[] = [];
let started: Promise<void>[] | undefined;

/** A test that waits and needs no processor: the first one starts all. Vitest would start five at a time. */
function waiting(title: string, run: () => Promise<void>): void {
  const index = runs.push(run) - 1;
  test(title, async () => {
    started ??= runs.map((each) => {
      const outcome = each();
      // It may fail before its test awaits it.
      outcome.catch(() => {});
      return outcome;
    });
    await started[index];
  });
}

/** Factor for the time of processes that wait for timeouts. */
const FASTER = 5;
const EXCHANGE = join(PROJECT_ROOT, "src/cli/network/exchange.ts");
/** Bytes: more than the operating system buffers. */
const LARGE_BODY = 128 * 2 ** 20;
const run = promisify(execFile);

/** What `list` prints on stderr after two attempts. */
const twoAttempts = (url: string, reason: string) => {
  const advice = "Is the URL right\\? If so, see the server's log, and try again later\\.";
  const waiting = `Still waiting for a response from ${url}\\S* after 8 s\\. The command waits for up to 30 s\\.\n`;
  const attempt = `(Can't list \\S+: )?No response from ${url}\\S*: 127\\.0\\.0\\.1:\\d+ ${reason} ${advice}\n`;
  return new RegExp(`^${waiting}${attempt}Retrying in 1 s\\.\n${attempt}Gave up after 2 attempts\\.\n$`);
};

waiting("prints within ten seconds that it is waiting, and ends on Ctrl-C", async () => {
  const port = await startSocketServer(() => {});
  const outcome = await resourcePool(["list", "--url", `http://127.0.0.1:${port}`], {
    env: { CF_TOKEN: TOKEN },
    onStart: (child) => {
      child.stderr?.on("data", () => child.kill("SIGINT"));
    },
  });
  const stderr =
    `Still waiting for a response from http://127.0.0.1:${port}/v3/resource_matches/cache/resources after 8 s. ` +
    "The command waits for up to 30 s.\n";
  expect(outcome).toEqual({ code: 130, stdout: "", stderr });
});

const DID_NOT_RESPOND = "accepted the request, and did not respond within 30 s\\.";
const TOO_SLOW = "began to respond, and sent less than 64 KiB in 30 s\\.";

const SILENT: [string, string, (socket: Socket) => unknown][] = [
  ["never responds", DID_NOT_RESPOND, () => {}],
  ["sends headers only", TOO_SLOW, (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")],
  [
    "sends a byte every second",
    TOO_SLOW,
    (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n");
      const interval = setInterval(() => socket.write(" "), 1000 / FASTER);
      socket.on("close", () => clearInterval(interval));
    },
  ],
];
for (const [behaviour, reason, respond] of SILENT) {
  waiting(`gives up after two attempts of half a minute if a server ${behaviour}`, async () => {
    let requests = 0;
    const port = await startSocketServer((socket) =>
      socket.once("data", () => {
        requests += 1;
        respond(socket);
      }),
    );
    const url = `http://127.0.0.1:${port}`;
    const outcome = await resourcePool(["list", "--url", url], {
      env: { CF_TOKEN: TOKEN, ...fastClock(FASTER) },
    });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(twoAttempts(url, reason));
    expect(requests).toBe(2);
  });
}

for (const place of ["s3://pool", "azure://pool"]) {
  waiting(`gives up if ${place} does not respond`, async () => {
    const port = await startSocketServer(() => {});
    const url = `http://127.0.0.1:${port}`;
    const sync = ["sync", "--blobstore", place, "--endpoint", url, ...(await startCache()).urlOption];
    const env = { CF_TOKEN: TOKEN, ...S3_CREDENTIALS, ...AZURE_CREDENTIALS, ...fastClock(FASTER) };
    const outcome = await resourcePool(sync, { env });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(twoAttempts(url, DID_NOT_RESPOND));
    expect(outcome.stderr).toContain(`Can't list ${place}: No response`);
  });
}

const HANGING_CONNECTIONS: [string, Record<string, string>, string][] = [
  [
    "a TLS handshake",
    {},
    "accepted the connection, and did not finish the TLS handshake within 10 s. Does it use TLS?",
  ],
  ["CONNECT", { HTTPS_PROXY: "" }, `There was no connection to ${NAME} within 10 s.`],
];
for (const [request, env, message] of HANGING_CONNECTIONS) {
  waiting(`gives up after a minute if a server does not respond to ${request}`, async () => {
    let connections = 0;
    const port = await startSocketServer(() => {
      connections += 1;
    });
    const isProxy = "HTTPS_PROXY" in env;
    const url = isProxy ? `https://${NAME}` : `https://127.0.0.1:${port}`;
    const proxies: Record<string, string> = isProxy ? { HTTPS_PROXY: `http://127.0.0.1:${port}` } : {};
    const outcome = await resourcePool(["list", "--url", url], {
      env: { CF_TOKEN: TOKEN, ...proxies, ...fastClock(FASTER) },
    });
    expect(outcome).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(message) });
    expect(outcome.stderr).toContain(`\nGave up after ${connections} attempts.\n`);
    expect(connections).toBeGreaterThan(2);
    // Neither the note nor the message is repeated.
    expect(outcome.stderr.match(/^(Still waiting|No response|Retrying in|Gave up)/gm)).toEqual([
      "Still waiting",
      "No response",
      ...Array(connections - 1).fill("Retrying in"),
      "No response",
      "Gave up",
    ]);
  });
}

/** Uploads more than the buffers of the operating system hold. @returns the status or the error */
async function upload(url: string, bytes: number): Promise<string> {
  const code = `import { exchange } from ${JSON.stringify(EXCHANGE)};
    const request = { url: new URL("${url}"), method: "POST", headers: {}, body: Buffer.alloc(${bytes}) };
    console.log(await exchange(request).then(({ status }) => status, ({ message }) => message));
    process.exit();`;
  const args = ["--input-type=module", "--eval", code];
  const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...fastClock(FASTER) } });
  return stdout;
}

waiting("fails if a server stops reading a request, and not if it reads slowly", async () => {
  const stopped = await startSocketServer((socket) => socket.pause());
  let received = 0;
  const slow = await startServer(async (request, response) => {
    let sincePause = 0;
    for await (const data of request) {
      received += data.length;
      sincePause += data.length;
      if (sincePause < LARGE_BODY / 32) continue;
      sincePause = 0;
      await pause(50_000 / 32 / FASTER);
    }
    response.end();
  });
  const outcomes = Promise.all([upload(`http://127.0.0.1:${stopped}`, LARGE_BODY), upload(slow, LARGE_BODY)]);
  expect(await outcomes).toEqual([
    expect.stringMatching(
      /^No response from \S+: 127\.0\.0\.1:\d+ read less than 64 KiB of the request in 30 s\. /,
    ),
    "200\n",
  ]);
  expect(received).toBe(LARGE_BODY);
});

waiting("waits for a large response as long as it makes progress", async () => {
  const url = await startServer(async (_, response) => {
    response.write('{"resources":[]');
    for (let second = 0; second < 40; second += 5) {
      response.write(" ".repeat(64 * 1024));
      await pause(5_000 / FASTER);
    }
    response.end("}");
  });
  const env = { CF_TOKEN: TOKEN, ...fastClock(FASTER) };
  const stderr = "The cache is empty.\n";
  expect(await resourcePool(["list", "--url", url], { env })).toEqual({ code: 0, stdout: "", stderr });
});

waiting("waits longer for the matches of many files", async () => {
  const app = await temporaryDirectory();
  await writeApp(
    app,
    Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`${index}`, `${index}`])),
  );
  const url = await startServer(async (request, response) => {
    request.resume();
    await pause(35_000 / FASTER);
    response.writeHead(201).end('{"resources":[]}');
  });
  const outcome = await resourcePool(["check", app, "--url", url], {
    env: { CF_TOKEN: TOKEN, ...fastClock(FASTER) },
  });
  expect(outcome.stderr).toContain("after 8 s. The command waits for up to 42 s.");
  expect(outcome.code).toBe(0);
});

test("does not wait for a Retry-After of hours, nor for several of more than ten minutes in all", async () => {
  const cache = await startCache();
  const remove = ["remove", RESOURCE.slice(0, 40), ...cache.urlOption];
  cache.faults.push((response) => respondWithError(response, 503, "down", { "Retry-After": "10800" }));
  const hours = await resourcePoolInThread(remove, { env: cache.env });
  expect(hours).toMatchObject({ code: 1, stdout: "" });
  expect(hours.stderr).toMatch(/\nThe server asks to wait for 3 h\. Run the command again after that\.\n$/);

  const fault = (response: ServerResponse) =>
    respondWithError(response, 429, "slow", { "Retry-After": "301" });
  cache.faults.push(fault, fault);
  const repeated = await resourcePool(remove, { env: { ...cache.env, ...fastClock(1, 300) } });
  expect(repeated).toMatchObject({ code: 1, stdout: "" });
  expect(repeated.stderr).toMatch(
    /\nRetrying in 301 s\.\n.*\nThe server asks to wait for 5 min\. Run the command again after that\.\n$/,
  );
});
