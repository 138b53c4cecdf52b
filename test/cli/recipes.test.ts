import { execFile, spawnSync } from "node:child_process";
import { chmod, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { expect, inject, test } from "vitest";
import { startFoundationFixture } from "../foundation/foundation-fixture.ts";
import { comparePackage } from "../support/node/package-comparison.ts";
import { PROJECT_ROOT } from "../support/node/project-root.ts";
import { writeApp } from "./app.ts";
import { type Blob, makeBlobs } from "./blobs.ts";
import { afterTests, temporaryDirectory } from "./command.ts";
import { startServer } from "./endpoint.ts";
import { respondWithError, startFakeCache, TOKEN } from "./fake-cache.ts";
import { S3_CREDENTIALS, s3Listing } from "./s3-server.ts";

const DOCUMENT = await readFile(join(PROJECT_ROOT, "docs/recipes.md"), "utf8");
const SECRET = "hush hush";

/** The first code block of a language after the words `after`. */
function block(language: string, after: string): string {
  const rest = DOCUMENT.slice(DOCUMENT.indexOf(after));
  return new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "ms").exec(rest)?.[1] ?? "";
}

/** A UAA with the job's client, a bucket with eleven blobs, and a cache with these and one more. */
async function startFoundation() {
  const cache = await startFakeCache();
  const blobs = makeBlobs(12);
  for (const { key } of blobs) cache.present.add(key);
  const uaa = await startServer(async (request, response) => {
    const isKnown =
      request.headers.authorization === `Basic ${btoa(`resource-pool:${SECRET}`)}` &&
      (await text(request)) === "grant_type=client_credentials";
    if (!isKnown) return respondWithError(response, 401, "Bad client credentials");
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ access_token: TOKEN, token_type: "bearer" }));
  });
  const bucket = await startServer((_, response) => {
    response.writeHead(200, { "Content-Type": "application/xml" });
    response.end(s3Listing(blobs.slice(1) as Blob[], false));
  });
  return { cache, uaa, bucket, gone: blobs[0]?.key };
}

/** Makes a directory with the script of the document next to the command, and one with only Node.js for the PATH. */
async function install() {
  const directory = await temporaryDirectory();
  const [place, bin] = [join(directory, "resource-pool"), join(directory, "bin")];
  await mkdir(place);
  await mkdir(bin);
  await writeFile(join(place, "nightly.sh"), block("sh", "`nightly.sh` next to"));
  await writeFile(join(place, "resource-pool.mjs"), `import ${JSON.stringify(inject("resourcePool"))};\n`);
  await symlink(process.execPath, join(bin, "node"));
  return { directory, place, bin };
}

const sh = (command: string, env: Record<string, string>, cwd?: string) =>
  promisify(execFile)("/bin/sh", ["-c", command], { env, cwd });

/** The document uses AWS; the tests, a server on this machine. */
const s3Variables = (bucket: string) => ({ AWS_ENDPOINT_URL_S3: bucket, AWS_CONFIG_FILE: "/dev/null" });

test.concurrent("runs the crontab of the recipes with a fresh token, without any variables but the file's", async () => {
  const { cache, uaa, bucket, gone } = await startFoundation();
  const { directory, place, bin } = await install();
  const values: Record<string, string> = {
    WORKER: cache.url,
    UAA: uaa,
    SECRET: `"${SECRET}"`,
    ...S3_CREDENTIALS,
  };
  const file = block("sh", "/etc/resource-pool.env").replace(/^(\w+)=.*$/gm, (line, name: string) =>
    values[name] === undefined ? line : `${name}=${values[name]}`,
  );
  await writeFile(join(directory, "resource-pool.env"), file);
  const [, path = "", job = ""] =
    /^PATH=(.*)\n(?:\S+ +){5}(.*)\n$/.exec(block("crontab", "write the crontab")) ?? [];
  const command = job
    .replace("/etc/resource-pool.env", join(directory, "resource-pool.env"))
    .replace("/usr/local/lib/resource-pool", place);

  const env = { PATH: path.replace("/usr/local/bin", bin), HOME: directory, ...s3Variables(bucket) };
  const { stdout } = await sh(command, env);
  expect(stdout).toMatch(/^0 resources added, 11 already present, 0 skipped, 0 unreadable, 1 removed, /);
  expect(cache.present).not.toContain(gone);
});

test.concurrent("runs the Concourse task of the recipes with only its params, sh and node", async () => {
  const { cache, uaa, bucket, gone } = await startFoundation();
  const { directory, bin } = await install();
  const task = block("yaml", "With Concourse");
  const own: Record<string, string> = {
    WORKER: cache.url,
    UAA: uaa,
    SECRET,
    AWS_REGION: "eu-test-1",
    ...S3_CREDENTIALS,
  };
  const params = /params:\n((?: {8}\w+: .*\n)+)/.exec(task)?.[1] ?? "";
  const env = Object.fromEntries(
    [...params.matchAll(/(\w+): (.*)\n/g)].map(([, name = "", value = ""]) => [name, own[name] ?? value]),
  );
  const [, path = "", args = ""] = /run: \{path: (\w+), args: \[(.*)\]\}/.exec(task) ?? [];

  await symlink("/usr/bin/dirname", join(bin, "dirname"));
  await symlink("/bin/sh", join(bin, "sh"));
  const { stdout } = await sh(`${path} ${args}`, { ...env, PATH: bin, ...s3Variables(bucket) }, directory);
  expect(stdout).toMatch(/^0 resources added, 11 already present, 0 skipped, 0 unreadable, 1 removed, /);
  expect(cache.present).not.toContain(gone);

  const refused = sh(
    `${path} ${args}`,
    { ...env, SECRET: "wrong", PATH: bin, ...s3Variables(bucket) },
    directory,
  );
  await expect(refused).rejects.toMatchObject({ code: 1, stderr: `No token: ${uaa} returned 401\n` });
});

const TOOLS = ["curl", "jq", "zip"].filter((tool) => spawnSync("which", [tool]).status !== 0);

test.skipIf(TOOLS.length > 0)(
  "uploads a package with curl and the script of the recipes, without the matched files",
  async () => {
    const foundation = await startFoundationFixture({ minimumSize: 0 });
    afterTests(() => foundation.close());
    const { cloudController, token } = foundation;
    const { place: directory, bin } = await install();
    const app = join(directory, "my app");
    await writeFile(join(directory, "upload.sh"), block("sh", "## Upload a package with curl"));
    await writeFile(
      join(bin, "resource-pool"),
      `#!/bin/sh\nexec "${join(bin, "node")}" "${join(directory, "resource-pool.mjs")}" "$@"\n`,
    );
    await chmod(join(bin, "resource-pool"), 0o755);
    const names = [
      "a.js",
      "app/[id]/page.js",
      "app/(x)/*.js",
      "-r",
      "with space.txt",
      "ünïcödé 文件.js",
      "sub/$HOME",
    ];
    await writeApp(app, Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
    await writeApp(app, {
      "empty.txt": "",
      "manifest.yml": "ignored",
      "debug.log": "ignored",
      ".cfignore": "*.log",
    });
    await symlink("a.js", join(app, "link"));
    await chmod(join(app, "sub/$HOME"), 0o755);

    const upload = async () => {
      const env = {
        PATH: `${bin}:${process.env.PATH}`,
        CF_TOKEN: `bearer ${token}`,
        API: cloudController.url,
        APP: "my-app",
      };
      const { stdout } = await sh(`sh upload.sh "my app"`, env, directory);
      const item = cloudController.packages.ofApp("my-app").at(-1);
      expect(stdout).toBe(`package ${item?.guid}: READY\n`);
      await rm(join(app, "debug.log"), { force: true });
      expect(await comparePackage(item?.guid ?? "", app, { url: cloudController.url, token })).toEqual([]);
      return item?.uploaded.sort();
    };
    expect(await upload()).toEqual([...names, "empty.txt", "link"].sort());
    await writeApp(app, { "a.js": "changed" });
    expect(await upload()).toEqual(["a.js", "empty.txt", "link"]);
    await Promise.all(["empty.txt", "link"].map((name) => rm(join(app, name))));
    expect(await upload()).toEqual([]);
  },
);
