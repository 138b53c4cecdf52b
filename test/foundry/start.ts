/** `npm start`: the Worker on this machine, ready to be asked, with everything that it needs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { curlOf, type Demo, demoOf } from "./demo.ts";
import { isPortFree, PortTaken } from "./loopback.ts";
import { HELP, PORTS, type PortName, parseOptions, type StartOptions, WrongUsage } from "./options.ts";
import { startUaa, type Uaa } from "./uaa.ts";
import { PROJECT_ROOT, startWorker, type WorkerProcess } from "./worker-process.ts";

const DIRECTORY = "src";
const TOKEN_LIFETIME_HOURS = 12;
const WORKER_START_MAX_MS = 60_000;
const ANSWER_MAX_MS = 5_000;
const POLL_MS = 100;

const EXIT_FAILED = 1;
const EXIT_WRONG_USAGE = 2;

/** Something that keeps the demo from running, told to the user as it is. */
class CannotStart extends Error {
  override name = "CannotStart";
}

const stop = new AbortController();
const stopped = once(stop.signal, "abort").then(() => {});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());

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
  const demo = await demoOf(PROJECT_ROOT, DIRECTORY);
  console.error(`Putting ${DIRECTORY} into the local cache …`);
  await addToCache(DIRECTORY, config);

  let uaa: Uaa | undefined;
  let worker: WorkerProcess | undefined;
  let isReady = false;
  try {
    uaa = await startUaa({ port: ports["uaa-port"] });
    const token = await uaa.issueToken({ lifetime: TOKEN_LIFETIME_HOURS * 3600 });
    console.error("Starting the Worker …");
    worker = startWorker({
      port: ports.port,
      variables: { UAA_URL: uaa.url },
      config,
      onOutput: (output) => isReady && process.stderr.write(output),
    });
    const died = worker.ended.then(() => Promise.reject(new CannotStart(deathOf(worker))));
    // It also ends when it is told to.
    died.catch(() => {});
    await Promise.race([answers(worker, token, demo), died, stopped]);
    if (stop.signal.aborted) return;

    console.log(introduction(worker.url, uaa.url, token, demo));
    isReady = true;
    await Promise.race([died, stopped]);
    console.error("\nStopping …");
  } finally {
    isReady = false;
    await Promise.all([worker?.stop(), uaa?.close()]);
  }
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

function introduction(workerUrl: string, uaaUrl: string, token: string, { held, resources }: Demo): string {
  const paths = held.map(({ path }) => path).join(" and ");
  const missing = resources.filter((resource) => !held.includes(resource)).map(({ path }) => path);
  return `
The Worker listens on ${workerUrl}, the stand-in for UAA on ${uaaUrl}.
The files of ${DIRECTORY} are in the local cache. Ask for two of them, and for one that nobody holds:

${curlOf(workerUrl, token, resources)}

It answers 201 with ${paths}, and without ${missing.join(" and ")}: that is what cf push would upload.

Or ask for the whole directory:

CF_TOKEN=${token} npm run -s resource-pool -- check ${DIRECTORY} --url ${workerUrl}

The token is good for ${TOKEN_LIFETIME_HOURS} hours, as long as this runs. Ctrl-C stops everything.
`;
}
