import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
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

  /** The project's own depends on whether a release is due. */
  const writeChangelog = (...paragraphs: string[]) =>
    writeFile(join(project, "CHANGELOG.md"), ["# Changelog", ...paragraphs, ""].join("\n\n"));

  beforeAll(async () => {
    // It builds in dist/, which other tests may use at the same time.
    project = await temporaryDirectory();
    release = join(project, "dist/release");
    for (const name of await readdir(PROJECT_ROOT)) {
      if (!LEFT_OUT.has(name)) await cp(join(PROJECT_ROOT, name), join(project, name), { recursive: true });
    }
    await symlink(join(PROJECT_ROOT, "node_modules"), join(project, "node_modules"));
    await writeChangelog("## Unreleased", `## ${manifest.version} (2027-01-01)`, "- New.");
    await check(["--tag", `v${manifest.version}`]);
  }, 120_000);

  const read = (name: string) => readFile(join(release, name), "utf8");

  it("builds the command, the npm package, two lists of bundled packages and checksums", async () => {
    const tarball = `resource-matches-${manifest.version}.tgz`;
    const names = ["SHA256SUMS", tarball, "resource-pool.mjs", "resource-pool.spdx.json", "worker.spdx.json"];
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

  it("builds an npm package that installs without a registry, and runs with only Node.js", async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, "package.json"), '{ "type": "commonjs" }');
    const tarball = join(release, `resource-matches-${manifest.version}.tgz`);
    await run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: directory });
    const { stdout } = await run(join(directory, "node_modules/.bin/resource-pool"), ["--version"]);
    expect(stdout).toBe(`${manifest.version}\n`);
    const installed = join(directory, "node_modules", manifest.name);
    const { name, version, description, license, repository, bugs, engines, ...rest } = JSON.parse(
      await readFile(join(installed, "package.json"), "utf8"),
    );
    expect(manifest).toMatchObject({ name, version, description, license, repository, bugs, engines });
    expect(engines).toEqual({ node: "^22.21.0 || >=24.5.0" });
    expect(rest).not.toHaveProperty("dependencies");
    expect(rest).not.toHaveProperty("devDependencies");

    // The file also runs next to a package.json whose type is CommonJS.
    await cp(join(installed, "dist/resource-pool.mjs"), join(directory, "resource-pool.mjs"));
    const copied = await run(process.execPath, [join(directory, "resource-pool.mjs"), "--version"]);
    expect(copied.stdout).toBe(`${manifest.version}\n`);
  });

  it("builds a command without the names of the project's development dependencies", async () => {
    expect((await read("resource-pool.mjs")).includes("@biomejs/biome")).toBe(false);
  });

  it.each([
    ["resource-pool.spdx.json", "resource-pool.meta.json", "commander"],
    ["worker.spdx.json", "bundle-meta.json", "jose"],
  ])("lists in %s exactly the packages in its bundle, with their checksums", async (sbom, meta, known) => {
    const bundled: Record<string, unknown>[] = [];
    const { outputs } = JSON.parse(await readFile(join(project, "dist", meta), "utf8"));
    for (const { inputs } of Object.values<{ inputs: Record<string, { bytesInOutput: number }> }>(outputs)) {
      for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
        const [folder, scope, name] = /^.*node_modules\/(@[^/]+\/)?([^/]+)/.exec(path) ?? [];
        if (folder === undefined || bytesInOutput === 0) continue;
        const { version } = JSON.parse(await readFile(join(project, folder, "package.json"), "utf8"));
        bundled.push({ name: `${scope ?? ""}${name}`, versionInfo: version });
      }
    }
    const { spdxVersion, packages } = JSON.parse(await read(sbom));
    expect(spdxVersion).toBe("SPDX-2.3");
    const [root, ...others] = packages as { name: string; versionInfo: string; checksums?: unknown[] }[];
    expect(root).toMatchObject({ name: "resource-matches", versionInfo: manifest.version });
    const identify = ({ name, versionInfo }: Record<string, unknown>) => `${name}@${versionInfo}`;
    expect(others.map(identify).sort()).toEqual([...new Set(bundled.map(identify))].sort());
    expect(others.map(({ name }) => name)).toContain(known);
    for (const { checksums } of others) {
      expect(checksums).toEqual([
        { algorithm: "SHA512", checksumValue: expect.stringMatching(/^[0-9a-f]{128}$/) },
      ]);
    }
  });

  it("writes the notes of a tag from its section in CHANGELOG.md, and refuses a tag without one", async () => {
    expect(await readFile(join(project, "dist/notes.md"), "utf8")).toBe("- New.\n");
    await writeChangelog("## Unreleased", "- New.");
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

const WORKFLOWS = join(PROJECT_ROOT, ".github/workflows");

it("pins each action of a workflow to a commit", async () => {
  for (const name of await readdir(WORKFLOWS)) {
    const workflow = await readFile(join(WORKFLOWS, name), "utf8");
    const actions = [...workflow.matchAll(/uses: (.*)/g)].map(([, action]) => action);
    expect(actions.length).toBeGreaterThan(0);
    for (const action of actions) expect(action).toMatch(/^[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  }
});

describe("the workflow of a release", () => {
  type Job = {
    permissions?: Record<string, string>;
    steps: { name?: string; uses?: string; run?: string }[];
  };
  const jobs = async (): Promise<Record<string, Job>> =>
    parse(await readFile(join(WORKFLOWS, "release.yml"), "utf8")).jobs;

  it("runs the project's code only in a job that may not write", async () => {
    for (const { permissions = {}, steps } of Object.values(await jobs())) {
      const runsCode = steps.some(({ uses }) => uses?.startsWith("actions/checkout@"));
      expect(Object.values(permissions).includes("write")).toBe(!runsCode);
    }
  });

  /** Runs a step with programs that only print their arguments, and `isDraft` for the release that exists, if any. */
  async function runStep(name: string, tag: string, isDraft = ""): Promise<string[]> {
    const steps = Object.values(await jobs()).flatMap(({ steps }) => steps);
    const script = steps.find((step) => step.name === name)?.run ?? expect.fail();
    const directory = await temporaryDirectory();
    await mkdir(join(directory, "dist/release"), { recursive: true });
    await writeFile(join(directory, "dist/release/SHA256SUMS"), "");
    const gh = `gh() { [ "$2" = view ] && echo "${isDraft}" && return; echo "$*"; }`;
    const env = { ...process.env, GITHUB_REF_NAME: tag };
    const { stdout } = await run("bash", ["-e", "-c", `${gh}\n${script}`], { cwd: directory, env });
    return stdout.trim().split("\n");
  }

  it("publishes a tag with a hyphen as a pre-release, and any other as a release", async () => {
    const create = (tag: string, ...options: string[]) =>
      [
        `release create ${tag} dist/release/SHA256SUMS --verify-tag --title ${tag}`,
        "--notes-file dist/notes.md",
        ...options,
      ].join(" ");
    expect(await runStep("Publish the release", "v1.0.0")).toEqual([create("v1.0.0")]);
    expect(await runStep("Publish the release", "v1.0.0-rc.1")).toEqual([
      create("v1.0.0-rc.1", "--prerelease"),
    ]);
  });

  it("replaces the draft that a failed run has left, and no published release", async () => {
    expect(await runStep("Publish the release", "v1.0.0", "true")).toEqual([
      "release delete v1.0.0 --yes",
      expect.stringMatching(/^release create v1\.0\.0 /),
    ]);
    expect(await runStep("Publish the release", "v1.0.0", "false")).toEqual([
      expect.stringMatching(/^release create v1\.0\.0 /),
    ]);
  });

  it("refuses a tag whose commit is not on main", async () => {
    const steps = Object.values(await jobs()).flatMap(({ steps }) => steps);
    const script = steps.find(({ name }) => name === "Check that the tag is on main")?.run ?? expect.fail();
    const cwd = await temporaryDirectory();
    const commit = "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m a";
    const bash = (commands: string) =>
      run("bash", ["-e", "-c", commands], { cwd, env: { ...process.env, GITHUB_REF_NAME: "v1.0.0" } });
    await bash(`git init -q; ${commit}; git update-ref refs/remotes/origin/main HEAD`);
    await expect(bash(script)).resolves.toMatchObject({ stdout: "" });
    await bash(commit);
    await expect(bash(script)).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringContaining("v1.0.0 is not on main."),
    });
  });
});
