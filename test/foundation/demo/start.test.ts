import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { resourcePoolInThread } from "../../cli/command.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { freePort, isPortFree, listenOnLoopback } from "../loopback.ts";
import { readConfiguration } from "./configuration.ts";
import { explainFileError } from "./data-directory.ts";
import { LAST_LINE } from "./introduction.ts";
import { parseOptions, type StartOptions } from "./options.ts";

const start = (...args: string[]) =>
  spawn(process.execPath, ["test/foundation/demo/start.ts", ...args], {
    cwd: PROJECT_ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });

type Ports = [worker: number, uaa: number, cloudController: number];

const portFlags = ([port, uaa, cloudController]: Ports) =>
  ["--port", port, "--uaa-port", uaa, "--cloud-controller-port", cloudController].map(String);

const startIn = async (directory: string, ports: Ports) =>
  start(...portFlags(ports), "--config", await writeConfig(directory));

const dataDirectory = (directory: string, [, , cloudController]: Ports, example = "read-through") =>
  join(directory, ".wrangler/start", `${example}-${cloudController}`);

const temporaryFiles = async (directory: string, ports: Ports) =>
  (await readdir(dataDirectory(directory, ports))).filter((name) => name.startsWith("tmp-"));

/** Returns three free ports that no earlier call has returned. */
async function freePorts(): Promise<Ports> {
  const ports: number[] = [];
  while (ports.length < 3) {
    const port = await freePort();
    // Starts that run at once must not get the same port.
    if (!usedPorts.has(port)) ports.push(port);
    usedPorts.add(port);
  }
  return ports as Ports;
}

const usedPorts = new Set<number>();

/** Waits for the exit, and returns the whole output. */
async function waitForExit(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    readUntil(child.stdout),
    readUntil(child.stderr),
    once(child, "exit"),
  ]);
  return { stdout, stderr, code };
}

/** Reads until the output has `mark`, or to the end. */
function readUntil(stream: Readable | null, mark?: string): Promise<string> {
  let output = "";
  return new Promise((resolve) => {
    stream?.on("end", () => resolve(output));
    // Keep reading after the mark: the process would fail with EPIPE if the pipe were closed.
    stream?.on("data", (chunk) => {
      output += chunk;
      if (mark !== undefined && output.includes(mark)) resolve(output);
    });
  });
}

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

/** Copies an example of a wrangler.toml to `directory`, which then has its own data, with other variables. */
async function writeConfig(
  directory: string,
  example = "read-through",
  variables: Record<string, string> = {},
): Promise<string> {
  const toml = await readFile(join(PROJECT_ROOT, `docs/examples/${example}.toml`), "utf8");
  const path = join(directory, `${example}.toml`);
  const lines = Object.entries(variables).map(([name, value]) => `${name} = "${value}"\n`);
  const others = Object.keys(variables).reduce(
    (text, name) => text.replace(new RegExp(`^${name} = .*\n`, "m"), ""),
    toml,
  );
  await writeFile(path, others.replace("[vars]\n", `[vars]\n${lines.join("")}`));
  return path;
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
async function introduce(config: string, ports: Ports, use = async (_: string): Promise<string[]> => []) {
  const child = start(...portFlags(ports), "--config", config);
  const exited = waitForExit(child);
  const output = await readUntil(child.stdout, LAST_LINE);
  const outputs = output.includes(LAST_LINE) ? await use(output) : [];
  child.kill("SIGINT");
  const { stderr } = await exited;
  if (!output.includes(LAST_LINE)) throw new Error(stderr);
  return { output: unwrap(output), pushes: parsePushes(output), progress: stderr, outputs };
}

/** Starts the demo with many configurations at once, because each waits for most of its time. */
function startRuns(root: string) {
  const own = async (...config: [example?: string, variables?: Record<string, string>]) => {
    const directory = await mkdtemp(join(root, "own-"));
    return { directory, config: await writeConfig(directory, ...config), ports: await freePorts() };
  };
  const introduceOwn = async (...config: Parameters<typeof own>) => {
    const run = await own(...config);
    return { ...run, ...(await introduce(run.config, run.ports)) };
  };
  const r2 = introduceOwn("r2");
  const started = {
    r2,
    suspended: r2.then(async ({ directory, config, ports }) => {
      await rm(join(dataDirectory(directory, ports, "r2"), "resource-pool"), { recursive: true });
      return { directory, ...(await introduce(config, ports)) };
    }),
    cacheOnly: own("cache-only").then(({ config, ports }) =>
      introduce(config, ports, (printed) =>
        Promise.all(printedCommands(printed).map((command) => runPrinted(command, printed))),
      ),
    ),
    shadow: introduceOwn("read-through", { MODE: "shadow", MINIMUM_SIZE: "71000" }),
    off: introduceOwn("read-through", {
      FEATURE_RESOURCE_MATCHING: "false",
      FEATURE_APP_BITS_UPLOAD: "false",
      MINIMUM_SIZE: "100000",
    }),
  };
  // The test that awaits it fails.
  for (const run of Object.values(started)) run.catch(() => {});
  return started;
}

async function findProcesses(needle: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes(needle));
}

/** A directory that the demo advises to use. */
const ELSEWHERE = join(homedir(), "resource-matches");

/** Explains that nothing can be written below /x, which does not exist. */
function explainError(code: string, ...args: string[]): string | undefined {
  const error = Object.assign(new Error(), { code });
  return explainFileError(error, "/x/.wrangler/start/a-1", parseOptions(args) as StartOptions);
}

let root: string;
let runs: ReturnType<typeof startRuns>;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "start with-"));
  runs = startRuns(root);
});

afterAll(async () => {
  await Promise.allSettled(Object.values(runs));
  await rm(root, { recursive: true, force: true });
});

describe("npm start", () => {
  let directory: string;
  let ports: Ports;
  let child: ChildProcess;
  let output: string;
  let token: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "start-"));
    ports = await freePorts();
    child = await startIn(directory, ports);
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

  it("prints commands of resource-pool that work as they are printed", async () => {
    const commands = printedCommands(output);
    const outputs = await Promise.all(commands.map(shell));
    expect(outputs).toEqual([
      expect.stringMatching(/^matched .*framework-00/m),
      expect.stringMatching(/entries|resources/),
    ]);
  });

  it("prints a token that may read the status of the cache", async () => {
    const url = `http://localhost:${ports[0]}`;
    const { stdout } = await resourcePoolInThread(["status", "--url", url, "--json"], {
      env: { CF_TOKEN: token },
    });
    // Four files from the beginning, and the large files of the app.
    expect(JSON.parse(stdout).entries).toBe(4 + LARGE);
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
    expect(await temporaryFiles(directory, ports)).toEqual([]);
  });

  it("keeps the cache and the resource pool for the next start", async () => {
    child = await startIn(directory, ports);
    await readUntil(child.stderr, "Pushing the demo app");
    const app = join(dataDirectory(directory, ports), "demo/app/public");
    const check = async (port: number) => {
      const args = ["check", app, "--url", `http://localhost:${port}`, "--json"];
      const { stdout } = await resourcePoolInThread(args, { env: { CF_TOKEN: await logIn(ports[1]) } });
      const { matched, upload } = JSON.parse(stdout).summary;
      return [matched.files, upload.files];
    };
    expect(await check(ports[0])).toEqual([LARGE - 1, 0]);
    expect(await check(ports[2])).toEqual([LARGE - 1, 0]);
  });

  const waitForCleanUp = () =>
    vi.waitFor(
      async () => {
        expect(await findProcesses(directory)).toEqual([]);
        expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true, true]);
      },
      { timeout: 20_000, interval: 200 },
    );

  it("ends its child processes and frees its ports when it is killed", async () => {
    child.kill("SIGKILL");
    await waitForCleanUp();
  });

  it("ends its child processes, frees its ports and deletes its temporary files when only its parent shell gets a signal while it waits", async () => {
    const args = [...portFlags(ports), "--config", await writeConfig(directory)];
    const command = [process.execPath, "test/foundation/demo/start.ts", ...args].join(" ");
    const shell = spawn("sh", ["-c", `${command}; exit`], {
      cwd: PROJECT_ROOT,
      stdio: ["ignore", "ignore", "pipe"],
    });
    for await (const chunk of shell.stderr) if (String(chunk).includes("Waiting until")) break;
    shell.kill("SIGTERM");
    await waitForCleanUp();
    // Not even those of the killed start before.
    expect(await temporaryFiles(directory, ports)).toEqual([]);
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

  it("prints commands that work as they are printed, also if a path has a space", async () => {
    const { output, outputs } = await runs.cacheOnly;
    expect(output).toMatch(/sync \S*\s+--blobstore '.* .*'/);
    // `sync`: the 41 large files of the app, and the four from the beginning. `check`: these four.
    expect(outputs).toEqual([
      expect.stringContaining("45"),
      expect.stringMatching(/^matched .*framework-00/m),
      expect.stringContaining("45"),
    ]);
  });

  it("runs docs/examples/r2.toml, and says that the bucket sends no events", async () => {
    const { output, pushes } = await runs.r2;
    expect(pushes).toEqual([
      [46, 0, 0, 46],
      [46, 0, 41, 5],
      [46, 41, 0, 5],
    ]);
    expect(output).toContain("Read-through:");
    expect(output).toContain("POOL_BUCKET is an empty local bucket.");
  });

  it("explains why the cache is suspended, and does not wait for it", async () => {
    const { output, progress, directory } = await runs.suspended;
    expect(progress).not.toContain("Waiting");
    expect(output).toMatch(/The first attempt of push 1 failed: .* the next attempt succeeded\./);
    expect(output).toMatch(
      /The cache is suspended until \S+Z, for \d+ more minutes\. The Cloud Controller rejected/,
    );
    expect(output).toContain(`rm -r '${directory}/.wrangler/start/r2-`);
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

  it("says why nothing matches if FEATURE_RESOURCE_MATCHING is false, also if the cache is empty", async () => {
    const { output, pushes } = await runs.off;
    expect(pushes).toEqual(Array(3).fill([46, 0, 0, 46]));
    expect(output).toContain("FEATURE_RESOURCE_MATCHING is false, so the Worker matches nothing");
    expect(output).toContain("FEATURE_APP_BITS_UPLOAD is false: only admins get matches.");
    expect(output).toContain("The response is 201 and lists no file.");
    expect(output).not.toContain("can't match");
  });
});

describe("the command line of npm start", () => {
  it("prints the port that is in use, what needs it, and a complete command with another port", async () => {
    const server = await listenOnLoopback(() => {});
    const [port, other] = [await freePort(), await freePort()];
    const flags = portFlags([port, server.port, other]);
    const { stdout, stderr, code } = await waitForExit(start(...flags, "--config", "./wrangler.toml"));
    await server.close();
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    const command =
      `npm start -- --port ${port} --uaa-port ${server.port + 10} --cloud-controller-port ${other} ` +
      "--config ./wrangler.toml\n";
    expect(stderr).toMatch(new RegExp(`^Port ${server.port} is in use, but the UAA needs it\\.\n`));
    expect(stderr.endsWith(command)).toBe(true);
  });

  it("exits with 2 for an unknown option", async () => {
    const { stdout, stderr, code } = await waitForExit(start("--portt", "1"));
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
    expect(stderr).toContain("Unknown option '--portt'");
  });

  it("exits with 2 if the file of --config does not exist, before it starts anything", async () => {
    const { stdout, stderr, code } = await waitForExit(start("--config", "wrangler.tmol"));
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
    expect(stderr).toMatch(/^--config: there is no file wrangler\.tmol\n/);
  });

  it("exits with 2 and names the line if the file of --config is no TOML", async () => {
    const { stderr, code } = await waitForExit(start("--config", "package.json"));
    expect(code).toBe(2);
    expect(stderr).toMatch(/^--config: package\.json is no valid TOML\. /);
  });

  it.each([
    [{ MINIMUM_SIZE: "64k" }, 'MINIMUM_SIZE is "64k". Set it to a whole number of bytes'],
    [
      { DATA_JURISDICTION: "eu" },
      'sets DATA_JURISDICTION to "eu", but the local runtime has no jurisdictions',
    ],
  ])(
    "exits with 1 and says what to change if the Worker can't run with the variables %j",
    async (variables, message) => {
      const directory = await mkdtemp(join(tmpdir(), "start-"));
      const config = await writeConfig(directory, "read-through", variables);
      const { stderr, code } = await waitForExit(start("--config", config));
      await rm(directory, { recursive: true });
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(message) });
    },
  );

  it("adds the Cloud Controller to the project's wrangler.toml, and to no other file", async () => {
    const addresses = { uaa: "http://localhost:1", cloudController: "http://localhost:2" };
    const [own, same] = await Promise.all(
      [undefined, "wrangler.toml"].map((file) => readConfiguration(file, addresses)),
    );
    expect(own?.settings.cloudControllerUrl).toBe(addresses.cloudController);
    expect(same?.settings.cloudControllerUrl).toBeUndefined();
  });

  it("replaces every address of a configuration, and leaves out its routes and its account", async () => {
    const directory = await mkdtemp(join(tmpdir(), "start-"));
    const addresses = { UAA_ISSUER: "https://uaa.example.com/oauth/token", UAA_AUDIENCE: "other" };
    const config = await writeConfig(directory, "r2", addresses);
    await writeFile(config, `account_id = "0123"\n${await readFile(config, "utf8")}`);
    const local = { uaa: "http://localhost:1", cloudController: "http://localhost:2" };
    const { settings, wrangler } = await readConfiguration(config, local);
    await rm(directory, { recursive: true });
    expect(JSON.stringify(wrangler)).not.toMatch(/example\.com|account_id|routes/);
    expect(settings).toMatchObject({
      cloudControllerUrl: local.cloudController,
      uaa: { url: local.uaa, issuer: `${local.uaa}/oauth/token`, audience: "cloud_controller" },
    });
  });

  it("says what to do, without a stack, if it can't write next to the configuration", async () => {
    const directory = await mkdtemp(join(tmpdir(), "start-"));
    const config = await writeConfig(directory);
    const file = join(directory, ".wrangler");
    await writeFile(file, "");
    const { stderr, code } = await waitForExit(start(...portFlags(await freePorts()), "--config", config));
    await rm(directory, { recursive: true });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Can't write .*: /);
    expect(stderr).toContain(`${file} is a file, but a directory must be there.\n`);
    expect(stderr).toContain(`Move it away, and start again. To look at it: ls -ld ${file}\n`);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  it.each([
    ["EACCES", "may not write it", `npm start -- --config ${ELSEWHERE}/read-through.toml`],
    ["EROFS", "the file system is read-only", `npm start -- --config ${ELSEWHERE}/read-through.toml`],
    ["ENOSPC", "the disk is full", "To delete the data of earlier starts: rm -r /x/.wrangler"],
  ])("explains the error %s of the file system", (code, reason, remedy) => {
    const explanation = explainError(code);
    expect(explanation).toContain(reason);
    expect(explanation).toContain(remedy);
  });

  it("advises to copy the configuration that was named if its directory is not writable", () => {
    const explanation = explainError("EACCES", "--config", "foundations/r2 eu.toml", "--port", "9000");
    expect(explanation).toContain(`cp 'foundations/r2 eu.toml' ${ELSEWHERE}\n`);
    expect(explanation).toContain(`npm start -- --port 9000 --config '${ELSEWHERE}/r2 eu.toml'`);
  });

  it.each([
    [["extra"], "extra"],
    [["--port", "http"], 'not "http"'],
    [["--port", "0"], 'not "0"'],
    [["--port", "65536"], 'not "65536"'],
    [["--port", "8788"], "must differ"],
    [["--cloud-controller-port", "8788"], "must differ"],
  ])("rejects the arguments %j", (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });

  it("prints aligned options on --help", async () => {
    const { stdout, code } = await waitForExit(start("--help"));
    expect(code).toBe(0);
    const columns = ["--port", "--uaa-port", "--cloud-controller-port"].map(
      (flag) => new RegExp(`^ +${flag} <port> +`, "m").exec(stdout)?.[0].length,
    );
    const [config] = /^ +--config <file> +/m.exec(stdout) ?? [];
    expect(columns).toEqual(Array(3).fill(config?.length));
  });
});
