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
import { parseOptions } from "./options.ts";

const start = (...args: string[]) => startWith({}, ...args);

const startWith = (env: Record<string, string>, ...args: string[]) =>
  spawn(process.execPath, ["test/foundation/demo/start.ts", ...args], {
    cwd: PROJECT_ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });

type Ports = [worker: number, uaa: number, cloudController: number];

const portFlags = ([port, uaa, cloudController]: Ports) =>
  ["--port", port, "--uaa-port", uaa, "--cloud-controller-port", cloudController].map(String);

// What it leaves behind when it is killed, it leaves there.
const startIn = async (directory: string, ports: Ports) =>
  startWith({ TMPDIR: directory }, ...portFlags(ports), "--config", await configIn(directory));

const freePorts = async (): Promise<Ports> => [await freePort(), await freePort(), await freePort()];

/** Everything that it says until it ends. */
async function outcome(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    text(child.stderr as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    once(child, "exit"),
  ]);
  return { stdout, stderr, code };
}

/** What it says on stdout or stderr up to `mark`; all of it where the process ends before. */
function saidUntil(stream: Readable | null, mark: string): Promise<string> {
  let output = "";
  return new Promise((resolve) => {
    stream?.on("end", () => resolve(output));
    // Read on after that: who is no longer listened to dies of the next line.
    stream?.on("data", (chunk) => {
      output += chunk;
      if (output.includes(mark)) resolve(output);
    });
  });
}

/** The last line of the table, which comes last of all. */
const LAST_ROW = "push 3";

/** A token of the local foundation's own user. */
async function tokenFrom(uaaPort: number): Promise<string> {
  const form = new URLSearchParams({ grant_type: "password", username: "developer", password: "developer" });
  const headers = { Authorization: `Basic ${btoa("cf:")}` };
  const response = await fetch(`http://localhost:${uaaPort}/oauth/token`, {
    method: "POST",
    headers,
    body: form,
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** The project's own wrangler.toml at another place, which has a local KV of its own; in shadow mode, as on trial. */
async function configIn(directory: string): Promise<string> {
  const toml = await readFile(join(PROJECT_ROOT, "wrangler.toml"), "utf8");
  const path = join(directory, "wrangler.toml");
  const inShadow = toml.replace('# MODE = "answer"', 'MODE = "shadow"');
  expect(inShadow).not.toBe(toml);
  await writeFile(path, inShadow.replace('main = "', `main = "${PROJECT_ROOT}`));
  return path;
}

/** The rows of the table that it prints: files asked for, held by cache and Cloud Controller, uploaded. */
function pushesOf(output: string): number[][] {
  return [...output.matchAll(/^ *push \d((?: +\d+)+)$/gm)].map(([, row = ""]) =>
    row.trim().split(/ +/).map(Number),
  );
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
  let token: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "start-"));
    ports = await freePorts();
    child = await startIn(directory, ports);
    output = await saidUntil(child.stdout, LAST_ROW);
    token = /^export CF_TOKEN=(\S+)$/m.exec(output)?.[1] ?? "";
  }, 150_000);

  afterAll(async () => {
    if (child.exitCode === null) child.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  });

  const shell = async (command: string) =>
    (await promisify(execFile)("sh", ["-c", command], { env: { ...process.env, CF_TOKEN: token } })).stdout;

  it("prints a curl that is answered with exactly the resources that are held", async () => {
    const command = /^curl (?:.*\n)*? *\]\}'$/m.exec(output)?.[0] ?? "false";
    const [head = "", body = ""] = (await shell(command)).split("\r\n\r\n");
    const asked = JSON.parse(/-d '(.*)'/s.exec(command)?.[1] ?? "").resources;
    expect(head).toMatch(/^HTTP\/1.1 201 /);
    expect(asked).toHaveLength(3);
    expect(JSON.parse(body).resources).toEqual(asked.slice(0, 2));
  });

  it("answers the first request of README.md as printed there", async () => {
    const readme = await readFile(join(PROJECT_ROOT, "README.md"), "utf8");
    const [, command = "false"] =
      /^ {4}(curl [^\n]*\/v3\/resource_matches (?:.*\n)*? *\]\}')$/m.exec(readme) ?? [];
    const [, printed = ""] = /^ {4}(\{"resources":\[.*\]\})$/m.exec(readme) ?? [];
    const answer = await shell(command.replace("localhost:8787", `localhost:${ports[0]}`));
    expect(JSON.parse(answer)).toEqual(JSON.parse(printed));
  });

  it("prints the token once and the table last, and nothing else that is wider than a terminal", () => {
    const lines = output.trimEnd().split("\n");
    expect(lines.filter((line) => line.includes(token))).toEqual([`export CF_TOKEN=${token}`]);
    expect(lines.at(-1)).toContain(LAST_ROW);
    // Of the temporary directory's path the project's own is shorter.
    const own = lines.map((line) => line.replace(/\S+(?=\/demo\/)/, ".wrangler/foundation"));
    expect(own.filter((line) => line.length > 80 && !line.includes(token))).toEqual([]);
  });

  // Files that a stock foundation matches, with the one that is new at each start, and files too small for it.
  const [LARGE, SMALL] = [41, 5];
  const ALL = LARGE + SMALL;

  it("shows a miss, what the Cloud Controller knows after it, and a hit", () => {
    expect(pushesOf(output)).toEqual([
      [ALL, 0, 0, ALL],
      [ALL, 0, LARGE, SMALL],
      [ALL, LARGE, 0, SMALL],
    ]);
  });

  it("tells the operator what its cache holds, with the token that it prints", async () => {
    const url = `http://localhost:${ports[0]}`;
    const { stdout } = await resourcePoolInThread(["status", "--url", url, "--json"], {
      env: { CF_TOKEN: token },
    });
    // The demo's four files, and what the pushes have taught it.
    expect(JSON.parse(stdout).entries).toBe(4 + LARGE);
  });

  it("says which port is taken while it runs", async () => {
    const { stderr, code } = await outcome(start(...portFlags(ports)));
    expect(code).toBe(1);
    const [worker, uaa, cloudController] = ports.map((port) => port + 10);
    expect(stderr).toBe(
      `Port ${ports[0]} is taken; the Worker needs it.\nPort ${ports[1]} is taken; the UAA local foundation needs it.\n` +
        `Port ${ports[2]} is taken; the Cloud Controller local foundation needs it. ` +
        `\`lsof ${ports.map((port) => `-i :${port}`).join(" ")}\` shows what does that. Stop it, or choose another port: ` +
        `npm start -- --port ${worker} --uaa-port ${uaa} --cloud-controller-port ${cloudController}\n`,
    );
  });

  it("leaves no process and no port behind on SIGINT to it alone", async () => {
    const ended = once(child, "exit");
    child.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    expect(await processesThatMention(directory)).toEqual([]);
    expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true, true]);
  });

  it("knows at the next start what it knew, and the local foundation has all that the cache holds", async () => {
    child = await startIn(directory, ports);
    await saidUntil(child.stderr, "Pushing an app");
    const app = join(directory, ".wrangler/foundation/demo/app");
    const check = async (port: number) => {
      const args = ["check", app, "--url", `http://localhost:${port}`, "--json"];
      const { stdout } = await resourcePoolInThread(args, { env: { CF_TOKEN: await tokenFrom(ports[1]) } });
      const { matched, toUpload } = JSON.parse(stdout).summary;
      return [matched.files, toUpload.files];
    };
    expect(await check(ports[0])).toEqual([LARGE - 1, SMALL]);
    expect(await check(ports[2])).toEqual([LARGE - 1, SMALL]);
  });

  const nothingIsLeft = () =>
    vi.waitFor(
      async () => {
        expect(await processesThatMention(directory)).toEqual([]);
        expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true, true]);
      },
      { timeout: 20_000, interval: 200 },
    );

  it("leaves no process and no port behind when it is killed", async () => {
    child.kill("SIGKILL");
    await nothingIsLeft();
  });

  it("leaves none behind when only the shell between npm and it has got the signal", async () => {
    const args = [...portFlags(ports), "--config", await configIn(directory)];
    const command = [process.execPath, "test/foundation/demo/start.ts", ...args].join(" ");
    const shell = spawn("sh", ["-c", `${command}; exit`], {
      cwd: PROJECT_ROOT,
      stdio: ["ignore", "ignore", "pipe"],
    });
    for await (const chunk of shell.stderr) if (String(chunk).includes("Starting the Worker")) break;
    shell.kill("SIGTERM");
    await nothingIsLeft();
  });
});

describe("the command line of npm start", () => {
  it("names a taken port, what needs it, and the whole command that chooses another", async () => {
    const server = await listenOnLoopback(() => {});
    const [port, other] = [await freePort(), await freePort()];
    const flags = portFlags([port, server.port, other]);
    const { stdout, stderr, code } = await outcome(start(...flags, "--config", "./wrangler.toml"));
    await server.close();
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    const command =
      `npm start -- --port ${port} --uaa-port ${server.port + 10} --cloud-controller-port ${other} ` +
      "--config './wrangler.toml'\n";
    expect(stderr).toMatch(
      new RegExp(`^Port ${server.port} is taken; the UAA local foundation needs it\\. `),
    );
    expect(stderr.endsWith(command)).toBe(true);
  });

  it("refuses a flag that it does not know", async () => {
    const { stdout, stderr, code } = await outcome(start("--portt", "1"));
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
    expect(stderr).toContain("Unknown option '--portt'");
  });

  it("refuses a --config that is not there before anything is started", async () => {
    const { stdout, stderr, code } = await outcome(start("--config", "wrangler.tmol"));
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
  ])("refuses %j", (args, complaint) => {
    expect(() => parseOptions(args)).toThrow(complaint);
  });

  it("shows its flags on --help", async () => {
    const { stdout, code } = await outcome(start("--help"));
    expect(code).toBe(0);
    const columns = ["--port", "--uaa-port", "--cloud-controller-port"].map(
      (flag) => new RegExp(`^ +${flag} <port> +`, "m").exec(stdout)?.[0].length,
    );
    const [config] = /^ +--config <file> +/m.exec(stdout) ?? [];
    expect(columns).toEqual(Array(3).fill(config?.length));
  });
});
