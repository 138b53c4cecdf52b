import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { freePort, isPortFree, listenOnLoopback } from "./loopback.ts";
import { parseOptions } from "./options.ts";
import { PROJECT_ROOT } from "./worker-process.ts";

const start = (...args: string[]) =>
  spawn(process.execPath, ["test/foundry/start.ts", ...args], {
    cwd: PROJECT_ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });

type Ports = [worker: number, uaa: number];

const startIn = async (directory: string, [port, uaaPort]: Ports) =>
  start("--port", `${port}`, "--uaa-port", `${uaaPort}`, "--config", await configIn(directory));

/** Everything that it says until it ends. */
async function outcome(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    text(child.stderr as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    once(child, "exit"),
  ]);
  return { stdout, stderr, code };
}

/** Output up to a line that contains `mark`; all of it where the process ends before. */
async function outputUntil(child: ChildProcess, mark: string): Promise<string> {
  let output = "";
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    output += chunk;
    if (output.includes(mark)) break;
  }
  return output;
}

/** The project's own wrangler.toml at another place, which has a local KV of its own. */
async function configIn(directory: string): Promise<string> {
  const toml = await readFile(join(PROJECT_ROOT, "wrangler.toml"), "utf8");
  const path = join(directory, "wrangler.toml");
  await writeFile(path, toml.replace('main = "', `main = "${PROJECT_ROOT}`));
  return path;
}

async function processesThatMention(needle: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes(needle));
}

describe("npm start", () => {
  let directory: string;
  let ports: Ports;
  let child: ChildProcess;
  let output: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "start-"));
    ports = [await freePort(), await freePort()];
    child = await startIn(directory, ports);
    output = await outputUntil(child, "Ctrl-C");
  }, 60_000);

  afterAll(async () => {
    if (child.exitCode === null) child.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  });

  it("prints a curl that is answered with exactly the resources that are held", async () => {
    const command = /^curl (?:.*\\\n)*.*$/m.exec(output)?.[0];
    const { stdout } = await promisify(execFile)("sh", ["-c", command ?? "false"]);

    const [head = "", body = ""] = stdout.split("\r\n\r\n");
    const asked = JSON.parse(/-d '(.*)'/.exec(command ?? "")?.[1] ?? "").resources;
    expect(head).toMatch(/^HTTP\/1.1 201 /);
    expect(asked).toHaveLength(3);
    expect(JSON.parse(body).resources).toEqual(asked.slice(0, 2));
  });

  it("says which port is taken while it runs", async () => {
    const { stderr, code } = await outcome(start("--port", `${ports[0]}`, "--uaa-port", `${ports[1]}`));
    expect(code).toBe(1);
    expect(stderr).toContain(`Port ${ports[0]} is taken; the Worker needs it.`);
    expect(stderr).toContain(`Port ${ports[1]} is taken; the UAA stand-in needs it.`);
  });

  it("leaves no process and no port behind on SIGINT to it alone", async () => {
    const ended = once(child, "exit");
    child.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    expect(await processesThatMention(directory)).toEqual([]);
    expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true]);
  });
});

it("leaves no process and no port behind when it is killed", async () => {
  const directory = await mkdtemp(join(tmpdir(), "start-"));
  const ports: Ports = [await freePort(), await freePort()];
  const child = await startIn(directory, ports);
  await outputUntil(child, "Ctrl-C");
  child.kill("SIGKILL");
  await vi.waitFor(
    async () => {
      expect(await processesThatMention(directory)).toEqual([]);
      expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true]);
    },
    { timeout: 20_000, interval: 200 },
  );
  await rm(directory, { recursive: true });
});

describe("the command line of npm start", () => {
  it("names a taken port, what needs it, and the flag that chooses another", async () => {
    const server = await listenOnLoopback(() => {});
    const { stdout, stderr, code } = await outcome(
      start("--uaa-port", `${server.port}`, "--port", `${await freePort()}`),
    );
    await server.close();
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toMatch(
      new RegExp(`^Port ${server.port} is taken; the UAA stand-in needs it.*--uaa-port \\d+\\n$`),
    );
  });

  it("refuses a flag that it does not know", async () => {
    const { stdout, stderr, code } = await outcome(start("--portt", "1"));
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
    expect(stderr).toContain("Unknown option '--portt'");
  });

  it.each([
    [["extra"], "extra"],
    [["--port", "http"], 'not "http"'],
    [["--port", "0"], 'not "0"'],
    [["--port", "65536"], 'not "65536"'],
    [["--port", "8788"], "must differ"],
  ])("refuses %j", (args, complaint) => {
    expect(() => parseOptions(args)).toThrow(complaint);
  });

  it("shows its flags on --help", async () => {
    const { stdout, code } = await outcome(start("--help"));
    expect(code).toBe(0);
    expect(stdout).toContain("--uaa-port");
  });
});
