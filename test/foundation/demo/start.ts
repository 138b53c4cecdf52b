/** `npm start`: runs the Worker with a local foundation, pushes a demo app, and prints what to try next. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import type { CacheStatus } from "../../../src/operator-api/responses.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { type Foundation, startFoundation } from "../foundation.ts";
import { isPortFree, PortInUse } from "../loopback.ts";
import { DEVELOPER_SCOPES } from "../uaa/token.ts";
import { addToPool, writeDemoFiles } from "./demo-files.ts";
import { createDemoRequest, type DemoRequest } from "./demo-request.ts";
import { formatIntroduction } from "./introduction.ts";
import { MatchedLog } from "./matched-log.ts";
import {
  formatCommand,
  HELP,
  PORT_NAMES,
  PORTS,
  type PortName,
  parseOptions,
  type StartOptions,
  WrongUsage,
} from "./options.ts";
import { formatPushes, pushDemoApp } from "./pushes.ts";
import { startWranglerDev, type WranglerDev } from "./wrangler-dev.ts";

const TOKEN_HOURS = 12;
/** A developer who may also use the operator API. */
const SCOPES = [...DEVELOPER_SCOPES, "cloud_controller.admin"];
const WORKER_START_MAX_MS = 60_000;
const RESPONSE_MAX_MS = 5_000;
const POLL_MS = 100;
/** The catalog rewrites its manifest every hour, and soon after a start if the stored one is older. */
const MANIFEST_MAX_AGE_MS = 2 * 3600 * 1000;
const PARENT_POLL_MS = 500;
/** Distance of the port that is suggested from one that is in use. */
const PORT_STEP = 10;

const EXIT_FAILED = 1;
const EXIT_WRONG_USAGE = 2;

/** The demo can't run. The message is printed without a stack. */
class CannotStart extends Error {
  override name = "CannotStart";
}

const stop = new AbortController();
const stopped = once(stop.signal, "abort").then(() => {});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());

// npm passes a signal only to the shell that runs this process. If the shell exits, the parent's id changes.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && stop.abort(), PARENT_POLL_MS).unref();

process.exitCode = await main(process.argv.slice(2));
// Exit even if a timer or an idle connection is left.
process.exit();

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options) await run(options);
    else process.stdout.write(HELP);
    return 0;
  } catch (error) {
    if (stop.signal.aborted) return 0;
    if (error instanceof WrongUsage) {
      console.error(`${error.message}\n\n${HELP}`);
      return EXIT_WRONG_USAGE;
    }
    console.error(error instanceof CannotStart || error instanceof PortInUse ? error.message : error);
    return EXIT_FAILED;
  }
}

/** Runs until a signal to stop. */
async function run({ ports, config }: StartOptions): Promise<void> {
  await checkConfig(config);
  await checkPorts({ ports, config });
  const data = dataDirectory(config);
  const { present, app } = await writeDemoFiles(join(data, "demo"));
  const request = await createDemoRequest(present);

  let foundation: Foundation | undefined;
  let worker: WranglerDev | undefined;
  let isReady = false;
  try {
    foundation = await startFoundation({
      ports: { uaa: ports["uaa-port"], cloudController: ports["cloud-controller-port"] },
      poolDirectory: join(data, "resource-pool"),
    });
    // Before the cache is filled, because it must have no file that the pool lacks.
    await addToPool(foundation.cloudController.pool, present);
    const token = await foundation.uaa.issueToken({ scopes: SCOPES, lifetime: TOKEN_HOURS * 3600 });
    console.error("Starting the Worker …");
    const log = new MatchedLog();
    worker = startWranglerDev({
      port: ports.port,
      variables: {
        UAA_URL: foundation.uaa.url,
        CLOUD_CONTROLLER_URL: foundation.cloudController.url,
        // In shadow mode the cache would match nothing.
        MODE: "answer",
      },
      config,
      onLine: (line) => (isReady ? process.stderr.write(`${line}\n`) : log.readLine(line)),
    });
    // The links of responses must lead a cf CLI that targets the Worker back to the Worker.
    foundation.cloudController.setExternalUrl(worker.url);
    const exited = worker.ended.then(() => Promise.reject(new CannotStart(formatExit(worker))));
    // Its exit is no failure after a signal to stop.
    exited.catch(() => {});
    await Promise.race([fillCache(worker, token, present, request), exited, stopped]);
    if (stop.signal.aborted) return;

    const pushing = pushDemoApp(app, { url: worker.url, token }, log, console.error).then(formatPushes);
    // The pushes may fail after a signal to stop.
    pushing.catch(() => {});
    const pushes = await Promise.race([pushing, exited, stopped]);
    if (pushes === undefined) return;

    const introduction = formatIntroduction({
      workerUrl: worker.url,
      foundation,
      token,
      tokenHours: TOKEN_HOURS,
      request,
      // Relative to the project's root, where npm runs its scripts.
      presentDirectory: relative(PROJECT_ROOT, present),
      appDirectory: relative(PROJECT_ROOT, app),
      pushes,
    });
    console.log(introduction);
    isReady = true;
    await Promise.race([exited, stopped]);
    console.error("\nStopping …");
  } finally {
    isReady = false;
    await Promise.all([worker?.stop(), foundation?.close()]);
  }
}

/** The local foundation's data is next to the local KV, so that both are kept, or deleted, together. */
function dataDirectory(config: string): string {
  return join(dirname(resolve(PROJECT_ROOT, config)), ".wrangler", "foundation");
}

async function checkConfig(config: string): Promise<void> {
  const stats = await stat(resolve(PROJECT_ROOT, config)).catch(() => undefined);
  if (!stats?.isFile()) throw new WrongUsage(`--config: there is no file ${config}`);
}

async function checkPorts({ ports, config }: StartOptions): Promise<void> {
  const inUse: PortName[] = [];
  for (const name of PORT_NAMES) if (!(await isPortFree(ports[name]))) inUse.push(name);
  if (inUse.length === 0) return;
  const problems = inUse.map((name) => `Port ${ports[name]} is in use, but ${PORTS[name].user} needs it.`);
  const listUsers = `lsof ${inUse.map((name) => `-i :${ports[name]}`).join(" ")}`;
  const others = Object.fromEntries(inUse.map((name) => [name, ports[name] + PORT_STEP]));
  const command = formatCommand({ ports: { ...ports, ...others }, config });
  throw new CannotStart(
    [
      ...problems,
      `To see which program uses it: ${listUsers}`,
      `Stop that program, or choose another port: ${command}`,
    ].join("\n"),
  );
}

/**
 * Adds the files to the cache, and waits until the Worker matches. This happens before the first request for matches,
 * because an isolate keeps a manifest that it has read for up to a minute.
 */
async function fillCache(
  worker: WranglerDev,
  token: string,
  present: string,
  request: DemoRequest,
): Promise<void> {
  const status = `${worker.url}/v3/resource_matches/cache`;
  await pollUntil(worker, token, status, {}, async (response) => response.status === 200);
  console.error("Adding files to the cache …");
  await addToCache(worker.url, token, present);
  await pollUntil(worker, token, status, {}, async (response) =>
    isPublished((await response.json()) as CacheStatus),
  );
  const body = JSON.stringify({ resources: [...request.present, request.missing] });
  const endpoint = `${worker.url}/v3/resource_matches`;
  await pollUntil(worker, token, endpoint, { method: "POST", body }, async ({ status }) => status === 201);
}

/** Whether the cache has a current manifest; without one, whether it has a snapshot. */
function isPublished({ published, snapshot }: CacheStatus): boolean {
  const writtenAt = Date.parse(published?.at ?? snapshot?.built_at ?? "");
  return Date.now() - writtenAt < MANIFEST_MAX_AGE_MS;
}

async function addToCache(url: string, token: string, directory: string): Promise<void> {
  const child = spawn(process.execPath, ["src/cli/bin.js", "add", directory, "--url", url], {
    cwd: PROJECT_ROOT,
    env: { ...process.env, CF_TOKEN: token },
    stdio: ["ignore", "ignore", "pipe"],
    signal: stop.signal,
  });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  if (code !== 0) {
    throw new CannotStart(`Could not add the files of ${directory} to the cache:\n${stderr}`);
  }
}

/** Repeats a request until the response is the expected one. */
async function pollUntil(
  { tail }: WranglerDev,
  token: string,
  url: string,
  request: RequestInit,
  isExpected: (response: Response) => Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + WORKER_START_MAX_MS;
  let last = "none";
  while (Date.now() < deadline && !stop.signal.aborted) {
    try {
      const response = await fetch(url, {
        ...request,
        headers: { Authorization: `Bearer ${token}` },
        signal: AbortSignal.any([stop.signal, AbortSignal.timeout(RESPONSE_MAX_MS)]),
      });
      const copy = response.clone();
      if (await isExpected(response)) return;
      last = `${copy.status} ${await copy.text()}`;
    } catch (error) {
      last = String(error);
    }
    await pause(POLL_MS);
  }
  throw new CannotStart(
    `The Worker did not become ready within ${WORKER_START_MAX_MS / 1000} s. Its last response: ${last}\n${tail()}`,
  );
}

function formatExit(worker: WranglerDev | undefined): string {
  return `wrangler dev has exited. Its last output:\n${worker?.tail()}`;
}
