import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { freePort, listenOnLoopback } from "../loopback.ts";
import { readConfiguration } from "./configuration.ts";
import { explainFileError } from "./data-directory.ts";
import { parseOptions, type StartOptions } from "./options.ts";
import { freePorts, portFlags, start, waitForExit, writeConfig } from "./start-fixture.ts";

const LOCAL = { uaa: "http://localhost:1", cloudController: "http://localhost:2" };

/** A directory that the demo advises to use. */
const ELSEWHERE = join(homedir(), "resource-matches");

/** Explains that nothing can be written below /x, which does not exist. */
function explainError(code: string, ...args: string[]): string | undefined {
  const error = Object.assign(new Error(), { code });
  return explainFileError(error, "/x/.wrangler/start/a-1", parseOptions(args) as StartOptions);
}

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

  it("names the line if the file of --config is no TOML", async () => {
    await expect(readConfiguration("package.json", LOCAL)).rejects.toThrow(
      /^--config: package\.json is no valid TOML\. /,
    );
  });

  it.each([
    [{ MINIMUM_SIZE: "64k" }, 'MINIMUM_SIZE is "64k". Set it to a whole number of bytes'],
    [
      { DATA_JURISDICTION: "eu" },
      'sets DATA_JURISDICTION to "eu", but the local runtime has no jurisdictions',
    ],
  ])("says what to change if the Worker can't run with the variables %j", async (variables, message) => {
    const directory = await mkdtemp(join(tmpdir(), "start-"));
    const config = await writeConfig(directory, "read-through", variables);
    await expect(readConfiguration(config, LOCAL)).rejects.toThrow(message);
    await rm(directory, { recursive: true });
  });

  it("adds the Cloud Controller to the project's wrangler.toml, and to no other file", async () => {
    const [own, same] = await Promise.all(
      [undefined, "wrangler.toml"].map((file) => readConfiguration(file, LOCAL)),
    );
    expect(own?.settings.cloudControllerUrl).toBe(LOCAL.cloudController);
    expect(same?.settings.cloudControllerUrl).toBeUndefined();
  });

  it("replaces every address of a configuration, and leaves out its routes and its account", async () => {
    const directory = await mkdtemp(join(tmpdir(), "start-"));
    const addresses = { UAA_ISSUER: "https://uaa.example.com/oauth/token", UAA_AUDIENCE: "other" };
    const config = await writeConfig(directory, "r2", addresses);
    await writeFile(config, `account_id = "0123"\n${await readFile(config, "utf8")}`);
    const { settings, wrangler } = await readConfiguration(config, LOCAL);
    await rm(directory, { recursive: true });
    expect(JSON.stringify(wrangler)).not.toMatch(/example\.com|account_id|routes/);
    expect(settings).toMatchObject({
      cloudControllerUrl: LOCAL.cloudController,
      uaa: { url: LOCAL.uaa, issuer: `${LOCAL.uaa}/oauth/token`, audience: "cloud_controller" },
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
