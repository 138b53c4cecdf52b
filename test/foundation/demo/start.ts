/** `npm start`: the Worker on this machine, ready to be asked, with everything that it needs. */
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
import { writeDemoFiles } from "./contents.ts";
import { createDemoRequest, type DemoRequest } from "./demo.ts";
import { introduction } from "./introduction.ts";
import { MatchedLog } from "./matched-log.ts";
import {
  commandLine,
  HELP,
  PORT_NAMES,
  PORTS,
  type PortName,
  parseOptions,
  type StartOptions,
  WrongUsage,
} from "./options.ts";
import { addToPool } from "./pool.ts";
import { formatPushes, pushDemoApp } from "./pushes.ts";
import { startWranglerDev, type WranglerDev } from "./wrangler-dev.ts";

const TOKEN_LIFETIME_HOURS = 12;
/** Of a developer who may operate the cache too. */
const SCOPES = [...DEVELOPER_SCOPES, "cloud_controller.admin"];
const WORKER_START_MAX_MS = 60_000;
const ANSWER_MAX_MS = 5_000;
const POLL_MS = 100;
/** The catalog touches its manifest every hour, and one of a start long ago right after this one. */
const MANIFEST_TRUSTED_MS = 2 * 3600 * 1000;
const PARENT_POLL_MS = 500;
/** From a port that is taken to the one that is advised. */
const PORTS_APART = 10;

const EXIT_FAILED = 1;
const EXIT_WRONG_USAGE = 2;

/** Something that keeps the demo from running, told to the user as it is. */
class CannotStart extends Error {
  override name = "CannotStart";
}

const stop = new AbortController();
const stopped = once(stop.signal, "abort").then(() => {});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());

// npm passes a signal on to the shell that it has started this with, and no further: then the parent is gone.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && stop.abort(), PARENT_POLL_MS).unref();

process.exitCode = await main(process.argv.slice(2));
// A timer or an idle connection must not keep the terminal.
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

/** Runs until the signal to stop. */
async function run({ ports, config }: StartOptions): Promise<void> {
  await checkConfig(config);
  await checkPorts({ ports, config });
  const kept = keptBeside(config);
  const { present, app } = await writeDemoFiles(join(kept, "demo"));
  const demo = await createDemoRequest(present);

  let foundation: Foundation | undefined;
  let worker: WranglerDev | undefined;
  let isReady = false;
  try {
    foundation = await startFoundation({
      ports: { uaa: ports["uaa-port"], cloudController: ports["cloud-controller-port"] },
      poolDirectory: join(kept, "resource-pool"),
    });
    // First: the cache may not know what the pool does not have.
    await addToPool(foundation.cloudController.pool, present);
    const token = await foundation.uaa.issueToken({ scopes: SCOPES, lifetime: TOKEN_LIFETIME_HOURS * 3600 });
    console.error("Starting the Worker …");
    const log = new MatchedLog();
    worker = startWranglerDev({
      port: ports.port,
      variables: {
        UAA_URL: foundation.uaa.url,
        CLOUD_CONTROLLER_URL: foundation.cloudController.url,
        // In shadow mode there would be nothing to show.
        MODE: "answer",
      },
      config,
      onLine: (line) => (isReady ? process.stderr.write(`${line}\n`) : log.readLine(line)),
    });
    // A cf that talks to the Worker goes on talking to it.
    foundation.cloudController.setExternalUrl(worker.url);
    const died = worker.ended.then(() => Promise.reject(new CannotStart(deathOf(worker))));
    // It also ends when it is told to.
    died.catch(() => {});
    await Promise.race([prepare(worker, token, present, demo), died, stopped]);
    if (stop.signal.aborted) return;

    const pushes = pushDemoApp(app, { url: worker.url, token }, log, console.error).then(formatPushes);
    // They are left alone on the signal to stop.
    pushes.catch(() => {});
    const table = await Promise.race([pushes, died, stopped]);
    if (table === undefined) return;

    // npm runs its scripts in the project's root.
    const directories = {
      heldDirectory: relative(PROJECT_ROOT, present),
      appDirectory: relative(PROJECT_ROOT, app),
    };
    const shown = { workerUrl: worker.url, foundation, token, hours: TOKEN_LIFETIME_HOURS, demo, table };
    console.log(introduction({ ...shown, ...directories }));
    isReady = true;
    await Promise.race([died, stopped]);
    console.error("\nStopping …");
  } finally {
    isReady = false;
    await Promise.all([worker?.stop(), foundation?.close()]);
  }
}

/** Where the local foundation's part of the demo lies: beside the local KV, so that both are kept, or deleted, together. */
function keptBeside(config: string): string {
  return join(dirname(resolve(PROJECT_ROOT, config)), ".wrangler", "foundation");
}

async function checkConfig(config: string): Promise<void> {
  const stats = await stat(resolve(PROJECT_ROOT, config)).catch(() => undefined);
  if (!stats?.isFile()) throw new WrongUsage(`--config: there is no file ${config}`);
}

async function checkPorts({ ports, config }: StartOptions): Promise<void> {
  const taken: PortName[] = [];
  for (const name of PORT_NAMES) if (!(await isPortFree(ports[name]))) taken.push(name);
  if (taken.length === 0) return;
  const complaints = taken.map((name) => `Port ${ports[name]} is taken; ${PORTS[name].purpose} needs it.`);
  const whatUses = `lsof ${taken.map((name) => `-i :${ports[name]}`).join(" ")}`;
  const others = Object.fromEntries(taken.map((name) => [name, ports[name] + PORTS_APART]));
  const command = commandLine({ ports: { ...ports, ...others }, config });
  throw new CannotStart(
    `${complaints.join("\n")} \`${whatUses}\` shows what does that. Stop it, or choose another port: ${command}`,
  );
}

/** Fills the cache before the isolate answers its first request: what it has read once, it keeps for a while. */
async function prepare(
  worker: WranglerDev,
  token: string,
  present: string,
  demo: DemoRequest,
): Promise<void> {
  const cache = `${worker.url}/v3/resource_matches/cache`;
  await untilAnswered(worker, token, cache, {}, async (response) => response.status === 200);
  console.error("Putting files into the cache …");
  await addToCache(worker.url, token, present);
  await untilAnswered(worker, token, cache, {}, async (response) =>
    isReadable((await response.json()) as CacheStatus),
  );
  const question = { method: "POST", body: JSON.stringify({ resources: demo.resources }) };
  const endpoint = `${worker.url}/v3/resource_matches`;
  await untilAnswered(worker, token, endpoint, question, async (response) => response.status === 201);
}

/** Whether the edge reads what the catalog has written: the manifest, and after it the first snapshot. */
function isReadable({ published, snapshot }: CacheStatus): boolean {
  const writtenAt = Date.parse(published?.at ?? snapshot?.built_at ?? "");
  return Date.now() - writtenAt < MANIFEST_TRUSTED_MS;
}

/** By the operator's own command. */
async function addToCache(url: string, token: string, directory: string): Promise<void> {
  const child = spawn(process.execPath, ["src/cli/bin.js", "add", directory, "--url", url], {
    cwd: PROJECT_ROOT,
    env: { ...process.env, CF_TOKEN: token },
    stdio: ["ignore", "ignore", "pipe"],
    signal: stop.signal,
  });
  const [complaints, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  if (code !== 0) {
    throw new CannotStart(`The files of ${directory} can't be put into the cache.\n${complaints}`);
  }
}

/** Asks the Worker until it answers as it should. */
async function untilAnswered(
  { tail }: WranglerDev,
  token: string,
  url: string,
  question: RequestInit,
  isExpected: (response: Response) => Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + WORKER_START_MAX_MS;
  let last = "nothing";
  while (Date.now() < deadline && !stop.signal.aborted) {
    try {
      const response = await fetch(url, {
        ...question,
        headers: { Authorization: `Bearer ${token}` },
        signal: AbortSignal.any([stop.signal, AbortSignal.timeout(ANSWER_MAX_MS)]),
      });
      const told = response.clone();
      if (await isExpected(response)) return;
      last = `${told.status} ${await told.text()}`;
    } catch (error) {
      last = String(error);
    }
    await pause(POLL_MS);
  }
  throw new CannotStart(`The Worker does not answer as it should. Its last answer: ${last}\n${tail()}`);
}

function deathOf(worker: WranglerDev | undefined): string {
  return `wrangler dev has ended by itself. Its last words:\n${worker?.tail()}`;
}
