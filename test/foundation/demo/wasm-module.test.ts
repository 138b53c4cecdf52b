import { execFile } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";

/** Any user but root, who may write everywhere. */
const OTHER_USER = 65_534;

/** A process that compiles the module in a directory as another user, and prints the name and the message of the error. */
const COMPILE = `
  const [, url, directory] = process.argv;
  const { buildWasmModule } = await import(url);
  if (process.geteuid() === 0) process.seteuid(${OTHER_USER});
  await buildWasmModule(directory).catch(({ name, message }) => console.log(name + ": " + message));
`;

it("says who can compile the WebAssembly module, without a stack, if it is missing and its directory is not writable", async () => {
  const directory = await mkdtemp(join(tmpdir(), "clone-"));
  for (const name of ["build.js", "assembly"]) {
    await cp(join(PROJECT_ROOT, "src/bytes", name), join(directory, name), { recursive: true });
  }
  // Its version is part of the digest. Nothing is compiled.
  const compiler = join(directory, "node_modules/assemblyscript");
  await mkdir(compiler, { recursive: true });
  await writeFile(join(compiler, "package.json"), '{"version": "1.0.0"}');
  await writeFile(join(directory, "package.json"), '{"type": "module"}');
  await chmod(directory, 0o555);
  const url = new URL("wasm-module.ts", import.meta.url).href;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    "--input-type=module",
    "--eval",
    COMPILE,
    url,
    directory,
  ]);
  await chmod(directory, 0o755);
  await rm(directory, { recursive: true });
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^CannotStart: Can't compile \S+\/module\.wasm: EACCES/);
  expect(stdout).toContain("Start in a clone of your own");
  expect(stdout).toContain("\n  node src/bytes/build.js\n");
});
