/**
 * `npm run release:check`: builds everything that a release has in dist/release, and publishes nothing.
 *
 *     npm run release:check -- --tag v1.2.3    the release of a tag
 *     npm run release:check                    what would be released now
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import manifest from "../../package.json" with { type: "json" };
import { releaseNotes } from "./notes.ts";
import { createSbom, type Metafile } from "./sbom.ts";

const PROJECT = resolve(import.meta.dirname, "../..");
const DIST = join(PROJECT, "dist");
const RELEASE = join(DIST, "release");

const { version } = manifest;
const { values } = parseArgs({ options: { tag: { type: "string" } } });

try {
  checkTag(values.tag);
  checkRepository(process.env.GITHUB_REPOSITORY);
  const changelog = readFileSync(join(PROJECT, "CHANGELOG.md"), "utf8");
  const notes = releaseNotes(changelog, values.tag === undefined ? undefined : version);
  build();
  writeFileSync(join(DIST, "notes.md"), notes);
  for (const name of readdirSync(RELEASE).sort()) console.log(`dist/release/${name}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

function checkTag(tag: string | undefined): void {
  if (tag === undefined || tag === `v${version}`) return;
  throw new Error(
    `The tag is ${tag}, but package.json has the version ${version}. Set the version, commit, and tag again.`,
  );
}

/** Operators find sources and advisories by this address. */
function checkRepository(repository: string | undefined): void {
  if (!repository || manifest.repository.url.endsWith(`github.com/${repository}.git`)) return;
  throw new Error(
    `The repository is ${repository}, but package.json names ${manifest.repository.url}. Correct it there.`,
  );
}

function build(): void {
  rmSync(RELEASE, { recursive: true, force: true });
  mkdirSync(RELEASE, { recursive: true });
  npm("run", "-s", "build");
  npm("pack", "--silent", "--ignore-scripts", "--pack-destination", RELEASE);
  copyFileSync(join(DIST, "resource-pool.mjs"), join(RELEASE, "resource-pool.mjs"));
  const bundles = ["bundle-meta.json", "resource-pool.meta.json"].map(
    (name): Metafile => JSON.parse(readFileSync(join(DIST, name), "utf8")),
  );
  writeFileSync(join(RELEASE, "sbom.spdx.json"), createSbom(PROJECT, bundles));
  const printed = execFileSync(process.execPath, [join(RELEASE, "resource-pool.mjs"), "--version"], {
    encoding: "utf8",
  });
  if (printed.trim() !== version)
    throw new Error(`resource-pool.mjs prints the version ${printed}, not ${version}.`);
  const sums = readdirSync(RELEASE)
    .sort()
    .map((name) => `${sha256(join(RELEASE, name))}  ${name}\n`);
  writeFileSync(join(RELEASE, "SHA256SUMS"), sums.join(""));
}

function npm(...args: string[]): void {
  execFileSync("npm", args, { cwd: PROJECT, stdio: ["ignore", "ignore", "inherit"] });
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
