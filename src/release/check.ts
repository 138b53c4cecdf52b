/**
 * `npm run release:check`: builds everything that a release has in dist/release, and publishes nothing.
 *
 *     npm run release:check -- --tag v1.2.3    the release of a tag
 *     npm run release:check                    what would be released now
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import manifest from "../../package.json" with { type: "json" };
import { releaseNotes } from "./notes.ts";
import { createSbom, type Metafile } from "./sbom.ts";

const PROJECT = resolve(import.meta.dirname, "../..");
const DIST = join(PROJECT, "dist");
const RELEASE = join(DIST, "release");
const PACKAGE = join(DIST, "package");
/** Files of a release that list packages, and the descriptions of the bundles that contain them. */
const BUNDLES = {
  "resource-pool.spdx.json": "resource-pool.meta.json",
  "worker.spdx.json": "bundle-meta.json",
};

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
  npm(PROJECT, "run", "-s", "build");
  pack();
  copyFileSync(join(DIST, "resource-pool.mjs"), join(RELEASE, "resource-pool.mjs"));
  for (const [sbom, name] of Object.entries(BUNDLES)) {
    const bundle: Metafile = JSON.parse(readFileSync(join(DIST, name), "utf8"));
    writeFileSync(join(RELEASE, sbom), createSbom(PROJECT, bundle));
  }
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

/** Packs the command without the Worker's dependencies: it installs without a registry. */
function pack(): void {
  const { dependencies, devDependencies, overrides, allowScripts, scripts, ...published } = manifest;
  rmSync(PACKAGE, { recursive: true, force: true });
  for (const path of ["LICENSE", "README.md", ...manifest.files]) {
    cpSync(join(PROJECT, path), join(PACKAGE, path));
  }
  writeFileSync(join(PACKAGE, "package.json"), JSON.stringify(published, undefined, 2));
  npm(PACKAGE, "pack", "--silent", "--pack-destination", RELEASE);
}

function npm(cwd: string, ...args: string[]): void {
  execFileSync("npm", args, { cwd, stdio: ["ignore", "ignore", "inherit"] });
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
