import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { resourcePoolInThread } from "../../cli/command.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { freePort, isPortFree, listenOnLoopback } from "../loopback.ts";
import { LAST_LINE } from "./introduction.ts";
import { parseOptions } from "./options.ts";

const start = (...args: string[]) => startWithEnv({}, ...args);

const startWithEnv = (env: Record<string, string>, ...args: string[]) =>
  spawn(process.execPath, ["test/foundation/demo/start.ts", ...args], {
    cwd: PROJECT_ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });

type Ports = [worker: number, uaa: number, cloudController: number];

const portFlags = ([port, uaa, cloudController]: Ports) =>
  ["--port", port, "--uaa-port", uaa, "--cloud-controller-port", cloudController].map(String);

// A killed process leaves its temporary files in this directory, which the test deletes.
const startIn = async (directory: string, ports: Ports) =>
  startWithEnv({ TMPDIR: directory }, ...portFlags(ports), "--config", await writeConfig(directory));

const freePorts = async (): Promise<Ports> => [await freePort(), await freePort(), await freePort()];

/** Waits for the exit, and returns the whole output. */
async function waitForExit(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    text(child.stderr as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    once(child, "exit"),
  ]);
  return { stdout, stderr, code };
}

/** Reads until the output has `mark`. If the stream ends before, returns all of it. */
function readUntil(stream: Readable | null, mark: string): Promise<string> {
  let output = "";
  return new Promise((resolve) => {
    stream?.on("end", () => resolve(output));
    // Keep reading after the mark: the process would fail with EPIPE if the pipe were closed.
    stream?.on("data", (chunk) => {
      output += chunk;
      if (output.includes(mark)) resolve(output);
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

/** Copies the project's wrangler.toml to `directory`, which then has its own local KV. Sets shadow mode. */
async function writeConfig(directory: string): Promise<string> {
  const toml = await readFile(join(PROJECT_ROOT, "wrangler.toml"), "utf8");
  const path = join(directory, "wrangler.toml");
  const inShadow = toml.replace('# MODE = "answer"', 'MODE = "shadow"');
  expect(inShadow).not.toBe(toml);
  await writeFile(path, inShadow.replace('main = "', `main = "${PROJECT_ROOT}`));
  return path;
}

/** Parses the printed table. Each row: files, matched by the cache, matched by the Cloud Controller, uploaded. */
function parsePushes(output: string): number[][] {
  return [...output.matchAll(/^ *push \d((?: +\d+)+)$/gm)].map(([, row = ""]) =>
    row.trim().split(/ +/).map(Number),
  );
}

async function findProcesses(needle: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes(needle));
}

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

  const shell = async (command: string) =>
    (await promisify(execFile)("sh", ["-c", command], { env: { ...process.env, CF_TOKEN: token } })).stdout;

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
    const shortened = lines.map((line) => line.replace(/\S+(?=\/demo\/)/, ".wrangler/foundation"));
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
  });

  it("keeps the cache and the resource pool for the next start", async () => {
    child = await startIn(directory, ports);
    await readUntil(child.stderr, "Pushing the demo app");
    const app = join(directory, ".wrangler/foundation/demo/app");
    const check = async (port: number) => {
      const args = ["check", app, "--url", `http://localhost:${port}`, "--json"];
      const { stdout } = await resourcePoolInThread(args, { env: { CF_TOKEN: await logIn(ports[1]) } });
      const { matched, upload } = JSON.parse(stdout).summary;
      return [matched.files, upload.files];
    };
    expect(await check(ports[0])).toEqual([LARGE - 1, SMALL]);
    expect(await check(ports[2])).toEqual([LARGE - 1, SMALL]);
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

  it("ends its child processes and frees its ports when only its parent shell gets the signal", async () => {
    const args = [...portFlags(ports), "--config", await writeConfig(directory)];
    const command = [process.execPath, "test/foundation/demo/start.ts", ...args].join(" ");
    const shell = spawn("sh", ["-c", `${command}; exit`], {
      cwd: PROJECT_ROOT,
      stdio: ["ignore", "ignore", "pipe"],
    });
    for await (const chunk of shell.stderr) if (String(chunk).includes("Starting the Worker")) break;
    shell.kill("SIGTERM");
    await waitForCleanUp();
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
      "--config './wrangler.toml'\n";
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
