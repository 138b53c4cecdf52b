/** `npm start`: the Worker on this machine, ready to be asked, with everything that it needs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join, relative, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { type Demo, demoOf } from "./demo.ts";
import { makeDemoContent } from "./demo-content.ts";
import { addDirectory } from "./demo-pool.ts";
import { demoPushes, tableOf } from "./demo-pushes.ts";
import { type Foundry, startFoundry } from "./foundry.ts";
import { introduction } from "./introduction.ts";
import { isPortFree, PortTaken } from "./loopback.ts";
import { MatchedLog } from "./matched-log.ts";
import { HELP, PORTS, type PortName, parseOptions, type StartOptions, WrongUsage } from "./options.ts";
import { PROJECT_ROOT, startWorker, type WorkerProcess } from "./worker-process.ts";

const TOKEN_LIFETIME_HOURS = 12;
const WORKER_START_MAX_MS = 60_000;
const ANSWER_MAX_MS = 5_000;
const POLL_MS = 100;
const PARENT_POLL_MS = 500;

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
    console.error(error instanceof CannotStart || error instanceof PortTaken ? error.message : error);
    return EXIT_FAILED;
  }
}

/** Runs until the signal to stop. */
async function run({ ports, config }: StartOptions): Promise<void> {
  await checkPorts(ports);
  const kept = keptBeside(config);
  const { held, app } = await makeDemoContent(join(kept, "demo"));
  const demo = await demoOf(held);

  let foundry: Foundry | undefined;
  let worker: WorkerProcess | undefined;
  let isReady = false;
  try {
    foundry = await startFoundry({
      ports: { uaa: ports["uaa-port"], cloudController: ports["cloud-controller-port"] },
      poolDirectory: join(kept, "resource-pool"),
    });
    console.error("Putting files into the local cache …");
    // In this order: the cache may not know what the pool does not have.
    await addDirectory(foundry.cloudController.pool, held);
    await addToCache(held, config);

    const token = await foundry.uaa.issueToken({ lifetime: TOKEN_LIFETIME_HOURS * 3600 });
    console.error("Starting the Worker …");
    const log = new MatchedLog();
    worker = startWorker({
      port: ports.port,
      variables: { UAA_URL: foundry.uaa.url, CLOUD_CONTROLLER_URL: foundry.cloudController.url },
      config,
      onLine: (line) => (isReady ? process.stderr.write(`${line}\n`) : log.read(line)),
    });
    const died = worker.ended.then(() => Promise.reject(new CannotStart(deathOf(worker))));
    // It also ends when it is told to.
    died.catch(() => {});
    await Promise.race([answers(worker, token, demo), died, stopped]);
    if (stop.signal.aborted) return;

    console.error("Pushing an app …");
    const pushes = demoPushes(app, { url: worker.url, token }, log).then(tableOf);
    // They are left alone on the signal to stop.
    pushes.catch(() => {});
    const table = await Promise.race([pushes, died, stopped]);
    if (table === undefined) return;

    const validity = `${TOKEN_LIFETIME_HOURS} hours`;
    // npm runs its scripts in the project's root.
    const directories = {
      heldDirectory: relative(PROJECT_ROOT, held),
      appDirectory: relative(PROJECT_ROOT, app),
    };
    console.log(
      introduction({ workerUrl: worker.url, foundry, token, validity, demo, table, ...directories }),
    );
    isReady = true;
    await Promise.race([died, stopped]);
    console.error("\nStopping …");
  } finally {
    isReady = false;
    await Promise.all([worker?.stop(), foundry?.close()]);
  }
}

/** Where the stand-in's part of the demo lies: beside the local KV, so that both are kept, or deleted, together. */
function keptBeside(config: string): string {
  return join(dirname(resolve(PROJECT_ROOT, config)), ".wrangler", "foundry");
}

async function checkPorts(ports: Record<PortName, number>): Promise<void> {
  const complaints: string[] = [];
  for (const [name, port] of Object.entries(ports) as [PortName, number][]) {
    if (await isPortFree(port)) continue;
    complaints.push(
      `Port ${port} is taken; ${PORTS[name].purpose} needs it. ` +
        `\`lsof -i :${port}\` shows what uses it. Stop that, or choose another port: npm start -- --${name} ${port + 10}`,
    );
  }
  if (complaints.length > 0) throw new CannotStart(complaints.join("\n"));
}

/** Before the Worker starts: the local KV bears one writer at a time. */
async function addToCache(directory: string, config: string): Promise<void> {
  const args = ["src/cli/bin.js", "add", directory, "--config", config];
  const child = spawn(process.execPath, args, {
    cwd: PROJECT_ROOT,
    stdio: ["ignore", "ignore", "pipe"],
    signal: stop.signal,
  });
  const [complaints, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  if (code !== 0)
    throw new CannotStart(`The files of ${directory} can't be put into the local cache.\n${complaints}`);
}

/** Resolves when the Worker has answered the request of the demo. */
async function answers({ url, tail }: WorkerProcess, token: string, { resources }: Demo): Promise<void> {
  const deadline = Date.now() + WORKER_START_MAX_MS;
  let last = "nothing";
  while (Date.now() < deadline && !stop.signal.aborted) {
    try {
      const response = await fetch(`${url}/v3/resource_matches`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: JSON.stringify({ resources }),
        signal: AbortSignal.any([stop.signal, AbortSignal.timeout(ANSWER_MAX_MS)]),
      });
      if (response.status === 201) return;
      last = `${response.status} ${await response.text()}`;
    } catch (error) {
      last = String(error);
    }
    await pause(POLL_MS);
  }
  throw new CannotStart(`The Worker does not answer as it should. Its last answer: ${last}\n${tail()}`);
}

function deathOf(worker: WorkerProcess | undefined): string {
  return `wrangler dev has ended by itself. Its last words:\n${worker?.tail()}`;
}
