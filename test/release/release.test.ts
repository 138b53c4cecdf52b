import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { temporaryDirectory } from "../cli/command.ts";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

const run = promisify(execFile);

/** Not in a clean clone. */
const LEFT_OUT = new Set([".git", ".wrangler", "dist", "node_modules"]);

describe("npm run release:check", () => {
  let project: string;
  let release: string;

  const check = (args: string[] = [], env: Record<string, string> = {}) =>
    run("npm", ["run", "-s", "release:check", "--", ...args], {
      cwd: project,
      env: { ...process.env, GITHUB_REPOSITORY: "", ...env },
    });

  beforeAll(async () => {
    // It builds in dist/, which other tests may use at the same time.
    project = await temporaryDirectory();
    release = join(project, "dist/release");
    for (const name of await readdir(PROJECT_ROOT)) {
      if (!LEFT_OUT.has(name)) await cp(join(PROJECT_ROOT, name), join(project, name), { recursive: true });
    }
    await symlink(join(PROJECT_ROOT, "node_modules"), join(project, "node_modules"));
    await check();
  }, 120_000);

  const read = (name: string) => readFile(join(release, name), "utf8");

  it("builds the command, the npm package, a list of bundled packages and checksums", async () => {
    const tarball = `resource-matches-${manifest.version}.tgz`;
    const names = ["SHA256SUMS", tarball, "resource-pool.mjs", "sbom.spdx.json"];
    expect((await readdir(release)).sort()).toEqual(names);
    const { stdout } = await run(process.execPath, [join(release, "resource-pool.mjs"), "--version"]);
    expect(stdout).toBe(`${manifest.version}\n`);
    const files = await run("tar", ["tzf", join(release, tarball)]);
    expect(files.stdout.trim().split("\n").sort()).toEqual([
      "package/LICENSE",
      "package/README.md",
      "package/dist/resource-pool.mjs",
      "package/package.json",
    ]);
  });

  it("lists in SHA256SUMS the checksum of each other file of the release", async () => {
    const names = (await readdir(release)).filter((name) => name !== "SHA256SUMS").sort();
    const sums = await Promise.all(
      names.map(async (name) => {
        const content = await readFile(join(release, name));
        return `${createHash("sha256").update(content).digest("hex")}  ${name}\n`;
      }),
    );
    expect(await read("SHA256SUMS")).toBe(sums.join(""));
  });

  it("lists in the SBOM exactly the packages that the Worker and the command contain", async () => {
    const { spdxVersion, packages } = JSON.parse(await read("sbom.spdx.json"));
    const names = packages.map(({ name }: { name: string }) => name);
    expect(spdxVersion).toBe("SPDX-2.3");
    expect(names).toEqual(
      expect.arrayContaining(["resource-matches", ...Object.keys(manifest.dependencies)]),
    );
    expect(names).toEqual(expect.arrayContaining(["commander", "yauzl", "@aws-sdk/client-s3"]));
    for (const tool of ["vitest", "wrangler", "esbuild", "workerd"]) expect(names).not.toContain(tool);
  });

  it("writes the notes of a tag from its section in CHANGELOG.md, and refuses a tag without one", async () => {
    expect(await readFile(join(project, "dist/notes.md"), "utf8")).toMatch(/^- /);
    await expect(check(["--tag", `v${manifest.version}`])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        `CHANGELOG.md has no section "## ${manifest.version} (<year>-<month>-<day>)"`,
      ),
    });
  });

  it("refuses a tag of another version, and another repository than that of package.json", async () => {
    await expect(check(["--tag", "v9.9.9"])).rejects.toMatchObject({
      code: 1,
      stderr: `The tag is v9.9.9, but package.json has the version ${manifest.version}. Set the version, commit, and tag again.\n`,
    });
    await expect(check([], { GITHUB_REPOSITORY: "acme/fork" })).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("The repository is acme/fork, but package.json names "),
    });
  });
});

it("pins each action of a workflow to a commit", async () => {
  const folder = join(PROJECT_ROOT, ".github/workflows");
  for (const name of await readdir(folder)) {
    const workflow = await readFile(join(folder, name), "utf8");
    const actions = [...workflow.matchAll(/uses: (.*)/g)].map(([, action]) => action);
    expect(actions.length).toBeGreaterThan(0);
    for (const action of actions) expect(action).toMatch(/^[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  }
});
