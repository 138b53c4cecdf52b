import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { resourcePoolInThread } from "../../cli/command.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { isPortFree } from "../loopback.ts";
import { LAST_LINE } from "./introduction.ts";
import {
  freePorts,
  type Ports,
  portFlags,
  readUntil,
  start,
  waitForExit,
  writeConfig,
} from "./start-fixture.ts";

const dataDirectory = (directory: string, [, , cloudController]: Ports, example = "read-through") =>
  join(directory, ".wrangler/start", `${example}-${cloudController}`);

const temporaryFiles = async (data: string) =>
  (await readdir(data)).filter((name) => name.startsWith("tmp-"));

/** Logs in as the local foundation's user `developer`. */
async function logIn(uaaPort: number): Promise<string> {
  const form = new URLSearchParams({ grant_type: "password", username: "developer", password: "developer" });
  const headers = { Authorization: `Basic ${btoa("cf:")}` };
  const response = await fetch(`http://localhost:${uaaPort}/oauth/token`, {
    method: "POST",
    headers,
    body: form,
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** Parses the rows of the printed table. */
function parsePushes(output: string): number[][] {
  return [...output.matchAll(/^ *push \d((?: +\d+)+)$/gm)].map(([, row = ""]) =>
    row.trim().split(/ +/).map(Number),
  );
}

/** Joins the lines of paragraphs. */
const unwrap = (output: string) => output.replaceAll(/(?<=\S)\n(?=\S)/g, " ");

/** Runs a command in the project's directory with the token that the demo has printed. */
async function runPrinted(command: string, output: string): Promise<string> {
  const CF_TOKEN = /^export CF_TOKEN=(\S+)$/m.exec(output)?.[1];
  const env = { ...process.env, CF_TOKEN };
  return (await promisify(execFile)("sh", ["-c", command], { cwd: PROJECT_ROOT, env })).stdout;
}

/** Commands of `resource-pool` that the demo has printed. */
const printedCommands = (output: string) =>
  output.match(/^npm run -s resource-pool -- (?:.*\\\n)*.*$/gm) ?? [];

/**
 * Runs the demo with a configuration until it has printed its introduction.
 *
 * @param use called with the introduction, before the demo is stopped
 */
async function introduce(
  config: string,
  ports: Ports,
  { use = async () => [], signal = "SIGINT" }: IntroduceOptions = {},
) {
  const child = start(...portFlags(ports), "--config", config);
  const exited = waitForExit(child);
  const output = await readUntil(child.stdout, LAST_LINE);
  const outputs = output.includes(LAST_LINE) ? await use(output) : [];
  child.kill(signal);
  const { stderr } = await exited;
  if (!output.includes(LAST_LINE)) throw new Error(stderr);
  return { output: unwrap(output), pushes: parsePushes(output), progress: stderr, outputs };
}

interface IntroduceOptions {
  use?: (output: string) => Promise<string[]>;
  /** Stops the demo. */
  signal?: NodeJS.Signals;
}

/** Starts the demo with several configurations at once, because each waits for most of its time. */
function startRuns(root: string) {
  // Two starts with the same data: the first is killed.
  const r2 = (async () => {
    const directory = await mkdtemp(join(root, "r2-"));
    const ports = await freePorts();
    return { directory, ports, data: dataDirectory(directory, ports, "r2") };
  })();
  const shadow = r2.then(async ({ directory, ports }) => {
    const config = await writeConfig(directory, "r2", { MODE: "shadow", MINIMUM_SIZE: "71000" });
    return introduce(config, ports, { signal: "SIGKILL" });
  });
  const killed = Promise.all([r2, shadow]).then(async ([{ directory, ports, data }]) => {
    await waitForCleanUp(directory, ports);
    return temporaryFiles(data);
  });
  const suspended = Promise.all([r2, killed]).then(async ([{ directory, ports, data }]) => {
    await rm(join(data, "resource-pool"), { recursive: true });
    const introduced = await introduce(await writeConfig(directory, "r2"), ports);
    return { ...introduced, data, temporary: await temporaryFiles(data) };
  });
  const cacheOnly = (async () => {
    const config = await writeConfig(await mkdtemp(join(root, "cache-only-")), "cache-only");
    return introduce(config, await freePorts(), {
      use: (printed) => Promise.all(printedCommands(printed).map((command) => runPrinted(command, printed))),
    });
  })();
  const started = { shadow, killed, suspended, cacheOnly };
  // The test that awaits it fails.
  for (const run of Object.values(started)) run.catch(() => {});
  return started;
}

async function findProcesses(needle: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes(needle));
}

/** Waits until no process of a start is left, and its ports are free. */
const waitForCleanUp = (directory: string, ports: Ports) =>
  vi.waitFor(
    async () => {
      expect(await findProcesses(directory)).toEqual([]);
      expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true, true]);
    },
    { timeout: 20_000, interval: 200 },
  );

let root: string;
let runs: ReturnType<typeof startRuns>;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "start with-"));
  runs = startRuns(root);
});

afterAll(async () => {
  await Promise.allSettled(Object.values(runs));
  await rm(root, { recursive: true, force: true });
}, 60_000);

describe("npm start", () => {
  let directory: string;
  let ports: Ports;
  let flags: string[];
  let child: ChildProcess;
  let output: string;
  let token: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "start-"));
    ports = await freePorts();
    flags = [...portFlags(ports), "--config", await writeConfig(directory)];
    child = start(...flags);
    output = await readUntil(child.stdout, LAST_LINE);
    token = /^export CF_TOKEN=(\S+)$/m.exec(output)?.[1] ?? "";
  }, 150_000);

  afterAll(async () => {
    if (child.exitCode === null) child.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  });

  const shell = (command: string) => runPrinted(command, output);

  it("prints a curl command whose response lists exactly the two resources in the cache", async () => {
    const command = /^curl (?:.*\n)*? *\]\}'$/m.exec(output)?.[0] ?? "false";
    const [head = "", body = ""] = (await shell(command)).split("\r\n\r\n");
    const requested = JSON.parse(/-d '(.*)'/s.exec(command)?.[1] ?? "").resources;
    expect(head).toMatch(/^HTTP\/1.1 201 /);
    expect(requested).toHaveLength(3);
    expect(JSON.parse(body).resources).toEqual(requested.slice(0, 2));
  });

  it("returns the response that README.md prints for its first request", async () => {
    const readme = await readFile(join(PROJECT_ROOT, "README.md"), "utf8");
    const [, command = "false"] =
      /^ {4}(curl [^\n]*\/v3\/resource_matches (?:.*\n)*? *\]\}')$/m.exec(readme) ?? [];
    const [, printed = ""] = /^ {4}(\{"resources":\[.*\]\})$/m.exec(readme) ?? [];
    const response = await shell(command.replace("localhost:8787", `localhost:${ports[0]}`));
    expect(JSON.parse(response)).toEqual(JSON.parse(printed));
  });

  it("prints the token once, how to stop last, and no other line wider than 80 columns", () => {
    const lines = output.trimEnd().split("\n");
    expect(lines.filter((line) => line.includes(token))).toEqual([`export CF_TOKEN=${token}`]);
    expect(lines.at(-1)).toBe(LAST_LINE);
    // In a project's directory the paths are shorter than in this temporary one.
    const shortened = lines.map((line) =>
      line.replace(/\S+\/start\/[^/\s]+/, ".wrangler/start/wrangler-8789"),
    );
    expect(shortened.filter((line) => line.length > 80 && !line.includes(token))).toEqual([]);
  });

  // Files that a stock foundation matches, including the new one, and files that are too small for it.
  const [LARGE, SMALL] = [41, 5];
  const ALL = LARGE + SMALL;

  it("prints that the first push uploads all files, the Cloud Controller matches the second, and the cache matches the third", () => {
    expect(parsePushes(output)).toEqual([
      [ALL, 0, 0, ALL],
      [ALL, 0, LARGE, SMALL],
      [ALL, LARGE, 0, SMALL],
    ]);
  });

  it("prints the address of the status page, which a browser gets without a token", async () => {
    const [, page = ""] = /^ *Status page +(\S+)$/m.exec(output) ?? [];
    const response = await fetch(page, { headers: { Accept: "text/html" } });
    expect([response.status, response.headers.get("Content-Type")]).toEqual([
      200,
      expect.stringContaining("text/html"),
    ]);
  });

  it("prints which ports are in use if it already runs, and a command with other ports", async () => {
    const { stderr, code } = await waitForExit(start(...portFlags(ports)));
    expect(code).toBe(1);
    const [worker, uaa, cloudController] = ports.map((port) => port + 10);
    expect(stderr).toBe(
      `Port ${ports[0]} is in use, but the Worker needs it.\nPort ${ports[1]} is in use, but the UAA needs it.\n` +
        `Port ${ports[2]} is in use, but the Cloud Controller needs it.\n` +
        `To see which program uses it: lsof ${ports.map((port) => `-i :${port}`).join(" ")}\n` +
        "Stop that program, or choose another port: " +
        `npm start -- --port ${worker} --uaa-port ${uaa} --cloud-controller-port ${cloudController}\n`,
    );
  });

  it("ends its child processes and frees its ports on SIGINT", async () => {
    const ended = once(child, "exit");
    child.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    expect(await findProcesses(directory)).toEqual([]);
    expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true, true]);
    expect(await temporaryFiles(dataDirectory(directory, ports))).toEqual([]);
  });

  let waiting: Promise<string>;

  it("keeps the cache and the resource pool for the next start", async () => {
    // As npm does, which passes a signal only to the shell.
    const command = [process.execPath, "test/foundation/demo/start.ts", ...flags].join(" ");
    const shell = spawn("sh", ["-c", `${command}; exit`], {
      cwd: PROJECT_ROOT,
      stdio: ["ignore", "ignore", "pipe"],
    });
    child = shell;
    waiting = readUntil(shell.stderr, "Waiting until");
    await readUntil(shell.stderr, "Pushing the demo app");
    const app = join(dataDirectory(directory, ports), "demo/app/public");
    const check = async (port: number) => {
      const args = ["check", app, "--url", `http://localhost:${port}`, "--json"];
      const { stdout } = await resourcePoolInThread(args, { env: { CF_TOKEN: await logIn(ports[1]) } });
      const { matched, upload } = JSON.parse(stdout).summary;
      return [matched.files, upload.files];
    };
    expect(await Promise.all([check(ports[0]), check(ports[2])])).toEqual(Array(2).fill([LARGE - 1, 0]));
  });

  it("ends its child processes, frees its ports and deletes its temporary files when only its parent shell gets a signal while it waits", async () => {
    await waiting;
    child.kill("SIGTERM");
    await waitForCleanUp(directory, ports);
    expect(await temporaryFiles(dataDirectory(directory, ports))).toEqual([]);
  });
});

describe("npm start -- --config", () => {
  it("runs docs/examples/cache-only.toml without the Cloud Controller: the third push finds what `sync` has added", async () => {
    const { output, pushes } = await runs.cacheOnly;
    expect(pushes).toEqual([
      [46, 0, 0, 46],
      [46, 0, 0, 46],
      [46, 41, 0, 5],
    ]);
    expect(output).toMatch(/The Worker runs with \S.*\/cache-only\.toml\. Cache only:/);
    expect(output).toContain("Pushes add nothing to the cache.");
  });

  it("prints commands of resource-pool that work as they are printed, also if a path has a space", async () => {
    const { output, outputs } = await runs.cacheOnly;
    expect(output).toMatch(/sync \S*\s+--blobstore '.* .*'/);
    // `sync`: the 41 large files of the app, and the four from the beginning. `check`: these four.
    expect(outputs).toEqual([
      expect.stringContaining("45"),
      expect.stringMatching(/^matched .*framework-00/m),
      expect.stringContaining("45"),
    ]);
  });

  it("runs shadow mode with the limits of the file, and shows what the cache would have matched", async () => {
    const { output, pushes } = await runs.shadow;
    // The smallest of the 40 large files and the new one have 70,000 bytes.
    expect(pushes).toEqual([
      [46, 0, 46, 0],
      [46, 39, 7, 0],
      [46, 39, 7, 39],
    ]);
    expect(output).toContain("Shadow mode:");
    expect(output).toContain("7 of the 46 files can't match, because MINIMUM_SIZE is 71000 bytes.");
    expect(output).toContain("The response is 201 and lists framework-01.bin.");
  });

  it("ends its child processes and frees its ports when it is killed, and the next start deletes its temporary files", async () => {
    expect(await runs.killed).toHaveLength(1);
    expect((await runs.suspended).temporary).toEqual([]);
  });

  it("runs docs/examples/r2.toml, and says that the bucket sends no events", async () => {
    const { output } = await runs.suspended;
    expect(output).toContain("Read-through:");
    expect(output).toContain("POOL_BUCKET is an empty local bucket.");
  });

  it("explains why the cache is suspended, and does not wait for it", async () => {
    const { output, progress, data } = await runs.suspended;
    expect(progress).not.toContain("Waiting");
    expect(output).toMatch(/The first attempt of push 1 failed: .* the next attempt succeeded\./);
    expect(output).toMatch(
      /The cache is suspended until \S+Z, for \d+ more minutes\. The Cloud Controller rejected/,
    );
    expect(output).toContain(`rm -r '${data}' && npm start`);
  });
});
