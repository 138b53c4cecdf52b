import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, onTestFinished, vi } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";
import { deploymentProblems } from "../../src/deploy/deployment-problems.ts";

const PROJECT = join(import.meta.dirname, "../..");
const EXAMPLES = ["cache-only", "read-through", "r2"];

const configurationOf = (example: string) =>
  readConfig({ config: join(PROJECT, `docs/examples/${example}.toml`) });

/** The part of the configuration that no operator changes, with paths relative to the file. */
function fixedPartOf(configuration: ReturnType<typeof readConfig>) {
  const { name, topLevelName, build, main, configPath, userConfigPath, ...rest } = configuration;
  const { vars, routes, workers_dev, preview_urls, r2_buckets, queues, ...fixed } = rest;
  const ownPath = (path = "") => path.replace(/^.*(?=src\/)/, "");
  return { ...fixed, main: ownPath(main), build: { ...build, watch_dir: ownPath(`${build.watch_dir}`) } };
}

afterEach(() => vi.restoreAllMocks());

it.each(EXAMPLES)("makes wrangler print no warning for docs/examples/%s.toml", (example) => {
  const warn = vi.spyOn(console, "warn").mockReturnValue();
  expect(configurationOf(example)).toMatchObject({
    workers_dev: false,
    preview_urls: false,
    routes: [{ pattern: "resource-matches.example.com", custom_domain: true }],
  });
  expect(warn).not.toHaveBeenCalled();
});

it.each(EXAMPLES)(
  "differs from wrangler.toml only in names and options: docs/examples/%s.toml",
  (example) => {
    const shipped = readConfig({ config: join(PROJECT, "wrangler.toml") });
    expect(fixedPartOf(configurationOf(example))).toEqual(fixedPartOf(shipped));
  },
);

it.each(EXAMPLES)(
  "refuses docs/examples/%s.toml as it is, and accepts a copy with a foundation's names",
  async (example) => {
    const path = join(PROJECT, `docs/examples/${example}.toml`);
    expect(deploymentProblems(["deploy", "--config", path], PROJECT)).toEqual([
      expect.stringContaining("is an example. Copy it"),
      expect.stringContaining("UAA_URL is the placeholder"),
      ...(example === "cache-only"
        ? []
        : [expect.stringContaining("CLOUD_CONTROLLER_URL is the placeholder")]),
      expect.stringContaining("is a placeholder"),
    ]);
    const directory = await mkdtemp(join(tmpdir(), "resource-matches-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const own = (await readFile(path, "utf8"))
      .replace(/^name = .*/m, 'name = "matches-prod"')
      .replaceAll("example.com", "acme.io");
    await writeFile(join(directory, "own.toml"), own);
    expect(deploymentProblems(["deploy", "--config", "own.toml"], directory)).toEqual([]);
  },
);

it("finds three examples in docs/examples: only the cache, with read-through, and with R2", () => {
  const [cacheOnly, readThrough, r2] = EXAMPLES.map(configurationOf);
  expect(cacheOnly?.vars).toHaveProperty("MINIMUM_FILE_MODE", "0600");
  expect(cacheOnly?.vars).not.toHaveProperty("CLOUD_CONTROLLER_URL");
  expect(readThrough?.vars).toHaveProperty("CLOUD_CONTROLLER_URL");
  expect(r2?.vars).toEqual(readThrough?.vars);
  expect(r2?.r2_buckets).toMatchObject([{ binding: "POOL_BUCKET" }]);
  expect(r2?.queues.consumers).toMatchObject([{ dead_letter_queue: "resource-pool-changes-dead" }]);
});
