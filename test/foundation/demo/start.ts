/** `npm start`: runs the Worker with a local foundation, pushes a demo app, and prints what to try next. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import type { CacheStatus } from "../../../src/operator-api/responses.ts";
import type { Resource } from "../../../src/resource-match/resource-schema.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { MATCHES_PATH, PushFailed } from "../cf-push/cf-connection.ts";
import { type Foundation, startFoundation } from "../foundation.ts";
import { isPortFree, PortInUse } from "../loopback.ts";
import { DEVELOPER_SCOPES } from "../uaa/token.ts";
import { isPublished } from "./cache-status.ts";
import { CannotStart } from "./cannot-start.ts";
import { type DemoConfiguration, readConfiguration } from "./configuration.ts";
import {
  createDataDirectory,
  createTemporaryDirectory,
  dataDirectory,
  deleteOldTemporaryFiles,
  explainFileError,
  explainFullDisk,
} from "./data-directory.ts";
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
import { pushDemoApp } from "./pushes.ts";
import { buildWasmModule } from "./wasm-module.ts";
import { startWranglerDev, type WranglerDev } from "./wrangler-dev.ts";

const TOKEN_HOURS = 12;
/** A developer who may also use the operator API. */
const SCOPES = [...DEVELOPER_SCOPES, "cloud_controller.admin"];
const WORKER_START_MAX_MS = 60_000;
const RESPONSE_MAX_MS = 5_000;
/** While no server listens yet. */
const POLL_MS = 100;
const RESPONSE_POLL_MS = 250;
const RATE_LIMITED = 429;
const RATE_LIMITED_POLL_MS = 10_000;
/** Time that a push has to fail after its servers are gone. */
const PUSH_END_MAX_MS = 2_000;
const STATUS_PATH = `${MATCHES_PATH}/cache`;
const PARENT_POLL_MS = 500;
/** Distance of the port that is suggested from one that is in use. */
const PORT_STEP = 10;

const RATE_LIMIT_ADVICE =
  "The rate limit of the configuration is too low for the demo. Raise it, or remove [[ratelimits]], in a copy of the file.";

const EXIT_FAILED = 1;
const EXIT_WRONG_USAGE = 2;

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
    console.error(explainError(error));
    return EXIT_FAILED;
  }
}

/** The message of an expected error. Others are returned, to be printed with their stack. */
function explainError(error: unknown): unknown {
  if (error instanceof CannotStart || error instanceof PortInUse) return error.message;
  if (!(error instanceof PushFailed)) return error;
  const advice =
    error.status === RATE_LIMITED
      ? RATE_LIMIT_ADVICE
      : "Start again. If it fails again, delete the .wrangler directory next to the configuration first.";
  return `The push of the demo app failed: ${error.message}\n${advice}`;
}

/** Runs until a signal to stop. */
async function run(options: StartOptions): Promise<void> {
  const { ports, config } = options;
  const addresses = {
    uaa: `http://localhost:${ports["uaa-port"]}`,
    cloudController: `http://localhost:${ports["cloud-controller-port"]}`,
  };
  const configuration = await readConfiguration(config, addresses);
  await checkPorts(options);
  await buildWasmModule();
  const data = dataDirectory(configuration.path, ports["cloud-controller-port"]);
  try {
    await runIn(data, configuration, options);
  } catch (error) {
    const explanation = explainFileError(error, data, options);
    throw explanation === undefined ? error : new CannotStart(explanation);
  }
}

async function runIn(data: string, configuration: DemoConfiguration, options: StartOptions): Promise<void> {
  const { ports } = options;
  const { settings } = configuration;
  await createDataDirectory(data);
  const temporary = await createTemporaryDirectory(data);
  const over = new AbortController();
  let foundation: Foundation | undefined;
  let worker: WranglerDev | undefined;
  let pushing: Promise<unknown> | undefined;
  let isReady = false;
  try {
    const { minimumSize, maximumSize } = settings.eligibility;
    const poolDirectory = join(data, "resource-pool");
    foundation = await startFoundation({
      ports: { uaa: ports["uaa-port"], cloudController: ports["cloud-controller-port"] },
      poolDirectory,
      limits: { minimumSize, maximumSize },
    });
    await deleteOldTemporaryFiles(data, temporary);
    const { present, app } = await writeDemoFiles(join(data, "demo"));
    const request = await createDemoRequest(present);
    // Before the cache is filled, because it must have no file that the pool lacks.
    await addToPool(foundation.cloudController.pool, present);
    const token = await foundation.uaa.issueToken({ scopes: SCOPES, lifetime: TOKEN_HOURS * 3600 });
    console.error("Starting the Worker …");
    const log = new MatchedLog();
    const wranglerConfig = join(data, "wrangler.json");
    await writeFile(wranglerConfig, JSON.stringify(configuration.wrangler, null, 2));
    worker = startWranglerDev({
      port: ports.port,
      config: wranglerConfig,
      onLine: (line) => (isReady ? process.stderr.write(`${line}\n`) : log.readLine(line)),
    });
    const api = { worker, token, signal: over.signal };
    const { cloudController } = foundation;
    // The links of responses must lead a cf CLI that targets the Worker back to the Worker.
    if (settings.cloudControllerUrl) cloudController.setExternalUrl(worker.url);
    const exited = worker.ended.then(async () => {
      throw new CannotStart((await explainFullDisk(data, options)) ?? formatExit(worker));
    });
    // Its exit is no failure after a signal to stop.
    exited.catch(() => {});
    const filling = fillCache(api, present, request);
    pushing = filling;
    const listed = await Promise.race([filling, exited, stopped]);
    if (listed === undefined) return;

    const pushingApp = pushDemoApp({
      directory: app,
      target: {
        url: settings.cloudControllerUrl ? worker.url : cloudController.url,
        matchesUrl: worker.url,
        token,
      },
      settings,
      log,
      syncCache: () => runResourcePool(api, ["sync", "--blobstore", poolDirectory]),
      readSuspension: async () => (await readStatus(api)).suspended_until,
      print: (line) => over.signal.aborted || console.error(line),
    });
    pushing = pushingApp;
    const result = await Promise.race([pushingApp, exited, stopped]);
    if (result === undefined) return;

    const introduction = formatIntroduction({
      workerUrl: worker.url,
      foundation,
      configuration,
      token,
      tokenHours: TOKEN_HOURS,
      request,
      listed,
      presentDirectory: printablePath(present),
      appDirectory: printablePath(app),
      poolDirectory: printablePath(poolDirectory),
      dataDirectory: printablePath(data),
      startCommand: formatCommand(options),
      result,
      columns: process.stdout.columns ?? Number.POSITIVE_INFINITY,
    });
    console.log(introduction);
    isReady = true;
    await Promise.race([exited, stopped]);
  } finally {
    isReady = false;
    over.abort();
    if (stop.signal.aborted) console.error("\nStopping …");
    await Promise.all([worker?.stop(), foundation?.close()]);
    // It fails, because its servers are gone, and then writes no more temporary files.
    await Promise.race([pushing?.catch(() => {}), pause(PUSH_END_MAX_MS, undefined, { ref: false })]);
    await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Relative to the project's root, where npm runs its scripts, if it is below. */
function printablePath(path: string): string {
  const short = relative(PROJECT_ROOT, path);
  return short.startsWith("..") ? path : short;
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

/** How to reach the Worker. */
interface WorkerApi {
  worker: WranglerDev;
  token: string;
  /** Ends requests and commands. */
  signal: AbortSignal;
}

/**
 * Adds the files to the cache, and waits until the Worker matches. This happens before the first request for matches,
 * because an isolate keeps a manifest that it has read for up to a minute.
 *
 * @returns the paths that the response to `request` lists
 */
async function fillCache(api: WorkerApi, present: string, request: DemoRequest): Promise<string[]> {
  const status = `${api.worker.url}${STATUS_PATH}`;
  await pollUntil(api, status, {}, () => true);
  console.error("Adding files to the cache …");
  await runResourcePool(api, ["add", present]);
  await pollUntil(api, status, {}, (body) => isPublished(body as CacheStatus));
  const body = JSON.stringify({ resources: [...request.present, request.missing] });
  const matches = `${api.worker.url}${MATCHES_PATH}`;
  const { resources } = (await pollUntil(api, matches, { method: "POST", body }, () => true)) as {
    resources: Resource[];
  };
  return resources.map(({ path }) => path ?? "");
}

async function readStatus(api: WorkerApi): Promise<CacheStatus> {
  return (await pollUntil(api, `${api.worker.url}${STATUS_PATH}`, {}, () => true)) as CacheStatus;
}

async function runResourcePool({ worker, token, signal }: WorkerApi, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ["src/cli/bin.js", ...args, "--url", worker.url], {
    cwd: PROJECT_ROOT,
    env: { ...process.env, CF_TOKEN: token },
    stdio: ["ignore", "ignore", "pipe"],
    signal,
  });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  if (code !== 0) throw new CannotStart(`resource-pool ${args.join(" ")} failed:\n${stderr}`);
}

/** Repeats a request until it succeeds and the body of the response, which is JSON, is the expected one. Returns the body. */
async function pollUntil(
  { worker: { tail }, token, signal }: WorkerApi,
  url: string,
  request: RequestInit,
  isExpected: (body: unknown) => boolean,
): Promise<unknown> {
  const deadline = Date.now() + WORKER_START_MAX_MS;
  let last = "none";
  let isRateLimited = false;
  while (Date.now() < deadline && !signal.aborted) {
    let waitMs = POLL_MS;
    try {
      const response = await fetch(url, {
        ...request,
        headers: { Authorization: `Bearer ${token}` },
        signal: AbortSignal.any([signal, AbortSignal.timeout(RESPONSE_MAX_MS)]),
      });
      const body = await response.text();
      if (response.ok && isExpected(JSON.parse(body))) return JSON.parse(body);
      last = `${response.status} ${body}`;
      isRateLimited = response.status === RATE_LIMITED;
      waitMs = isRateLimited ? RATE_LIMITED_POLL_MS : RESPONSE_POLL_MS;
    } catch (error) {
      last = String(error);
    }
    await pause(waitMs);
  }
  if (isRateLimited) throw new CannotStart(`The Worker refused a request with 429. ${RATE_LIMIT_ADVICE}`);
  throw new CannotStart(
    `The Worker did not become ready within ${WORKER_START_MAX_MS / 1000} s. Its last response: ${last}\n${tail()}`,
  );
}

function formatExit(worker: WranglerDev | undefined): string {
  return `wrangler dev has exited. Its last output:\n${worker?.tail()}`;
}
