import { execFile } from "node:child_process";
import { cp, mkdir, readFile } from "node:fs/promises";
import { join, matchesGlob } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { PROJECT_ROOT } from "../support/node/project-root.ts";
import { temporaryDirectory } from "./command.ts";
import { importOf } from "./import-of.ts";

const run = promisify(execFile);

test.concurrent("is packed by npm pack, as an archive that Git ignores", async () => {
  const directory = await temporaryDirectory();
  const packed = await run("npm", ["pack", "--silent", "--pack-destination", directory], {
    cwd: PROJECT_ROOT,
  });
  const tarball = packed.stdout.trim().split("\n").at(-1) ?? "";
  const ignored = await readFile(join(PROJECT_ROOT, ".gitignore"), "utf8");
  expect(ignored.split("\n").some((pattern) => matchesGlob(tarball, pattern))).toBe(true);
  const { stdout } = await run("tar", ["tzf", join(directory, tarball)]);
  expect(stdout).toContain("package/dist/resource-pool.mjs\n");
});

test.concurrent("prints what is missing when the source runs without the development dependencies", async () => {
  const directory = await temporaryDirectory();
  await mkdir(join(directory, "src"));
  for (const path of ["src", "package.json"]) {
    await cp(join(PROJECT_ROOT, path), join(directory, path), { recursive: true });
  }
  const command = run(process.execPath, [join(directory, "src/cli/bin.js"), "--version"]);
  await expect(command).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      "Run `npm ci --include=dev` in the project's directory: it installs all that is needed.",
    ),
  });
});

test.concurrent("runs with Node.js 22.21 and 24.5 or later, and prints which versions it needs with others", async () => {
  const runWith = async (version: string) => {
    const versions = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } });
      Object.defineProperty(process, "version", { value: "v${version}" });`;
    const args = ["--import", importOf(versions), join(PROJECT_ROOT, "src/cli/bin.js"), "--version"];
    const { stdout, stderr } = await run(process.execPath, args).catch((error) => error);
    return { stdout, stderr };
  };
  const versions = ["20.20.2", "22.20.0", "23.11.1", "24.4.1", "22.21.0", "24.5.0", "26.0.0"];
  const outcomes = await Promise.all(versions.map(runWith));
  const refused = versions.slice(0, 4).map((version) => ({
    stdout: "",
    stderr: `resource-pool needs Node.js 22.21 or later, or 24.5 or later, and this is v${version}. Install a current version.\n`,
  }));
  expect(outcomes.slice(0, 4)).toEqual(refused);
  for (const outcome of outcomes.slice(4))
    expect(outcome).toEqual({ stdout: `${manifest.version}\n`, stderr: "" });
});
