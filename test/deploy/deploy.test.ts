import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routeProblems, variableProblems } from "../../src/deploy/deployment-problems.ts";

const PROJECT = join(import.meta.dirname, "../..");
const OWN_UAA = "https://uaa.cf.acme.io";

describe("npm run deploy", () => {
  let folder: string;

  beforeAll(async () => {
    // Wrangler writes its logs to HOME.
    folder = await mkdtemp(join(tmpdir(), "resource-matches-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** Runs `npm run deploy` in the project, and returns its output. Without an account it always fails. */
  async function deploy(...args: string[]): Promise<string> {
    const env = { ...process.env, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_API_TOKEN: "", HOME: folder };
    const command = promisify(execFile)("npm", ["run", "-s", "deploy", "--", ...args], { cwd: PROJECT, env });
    const { stdout, stderr } = await command.then(
      () => expect.fail("deployed"),
      (error: { stdout: string; stderr: string }) => error,
    );
    return stdout + stderr;
  }

  /** Writes a copy of an example for a foundation of one's own, below `folder`. */
  async function writeConfig(file: string, name: string): Promise<string> {
    const example = await readFile(join(PROJECT, "docs/examples/read-through.toml"), "utf8");
    const path = join(folder, file);
    const own = example
      .replace('name = "resource-matches"', `name = "${name}"`)
      .replaceAll("example.com", "acme.io")
      .replace('main = "src', `main = "${join(PROJECT, "src")}`)
      .replace("node src/bytes", `node ${join(PROJECT, "src/bytes")}`);
    await writeFile(path, own);
    return path;
  }

  it.concurrent("refuses the project's wrangler.toml before any request to Cloudflare", async () => {
    const output = await deploy();
    expect(output).toContain(
      'Not deployed. Fix this first:\n  The name of the Worker is the default, "resource-matches". Give each',
    );
    expect(output).toContain('UAA_URL is the placeholder "http://localhost:8788". Set it to ');
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("refuses an example, and prints how to copy it", async () => {
    const output = await deploy("--config", "docs/examples/cache-only.toml", "--name", "matches-prod");
    expect(output).toContain("cp docs/examples/cache-only.toml wrangler.foundation.toml");
    expect(output).toContain(
      'The route "resource-matches.example.com" is a placeholder. Set it to a hostname of',
    );
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("refuses a name that another configuration in the folder has", async () => {
    const [first, second] = await Promise.all([
      writeConfig("wrangler.first.toml", "matches-same"),
      writeConfig("wrangler.second.toml", "matches-same"),
    ]);
    const output = await deploy("--config", first);
    expect(output).toContain(
      `${relative(PROJECT, second)} has the name "matches-same" too: one deployment would`,
    );
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("prints why a configuration can't be read", async () => {
    expect(await deploy("--config", "wrangler.missing.toml")).toContain("wrangler.missing.toml");
  });

  it.concurrent("passes all options on to wrangler, which then needs an account", async () => {
    const config = await writeConfig("wrangler.third.toml", "matches-third");
    // Only words after --var are variables.
    const options = [
      "--message",
      "MODE:shadows",
      "--config",
      config,
      "--var",
      `UAA_URL:${OWN_UAA}`,
      "MODE:answer",
    ];
    const output = await deploy(...options, "--route", "api.example.com/v3/resource_matches*");
    expect(output).not.toContain("Not deployed");
    expect(output).toContain("CLOUDFLARE_API_TOKEN");
  });
});

it("accepts the routes of any foundation, and refuses placeholders", () => {
  const own = ["api.cf.acme.io/v3/resource_matches*", { pattern: "https://api.example.company.io/*" }];
  expect(routeProblems(own)).toEqual([]);
  expect(routeProblems([...own, "*.example.com/*", { pattern: "http://api.sys.example.org/*" }])).toEqual([
    expect.stringMatching(/^The route "\*\.example\.com\/\*" is a placeholder\. /),
    expect.stringMatching(/^The route "http:\/\/api\.sys\.example\.org\/\*" is a placeholder\. /),
  ]);
});

it.each([
  "api.<system domain>/v3/resource_matches*",
  "api.<domain>/*",
  "api.sys.example.com./v3/resource_matches*",
  "http*://api.example.com/v3/resource_matches*",
  "*://*.example.com/*",
  "*example.com*",
  "api.example/*",
])("refuses the placeholder %s as a route", (pattern) => {
  expect(routeProblems([pattern])).toEqual([expect.stringContaining(`"${pattern}" is a placeholder. `)]);
});

it.each([
  "http*://api.cf.acme.io/v3/resource_matches*",
  "*://*.cf.acme.io/*",
  "*cf.acme.io./*",
  "api.example.com.acme.io/*",
])("accepts the route %s", (pattern) => {
  expect(routeProblems([pattern])).toEqual([]);
});

describe("the variables of a deployment", () => {
  const good = { UAA_URL: OWN_UAA, CLOUD_CONTROLLER_URL: "https://api.cf.acme.io", MINIMUM_SIZE: "65536" };
  const placeholder = (name: string, address: string) => `${name} is the placeholder "${address}"`;

  it("accepts the variables of any foundation, also without UAA_URL", () => {
    expect(variableProblems(good)).toEqual([]);
    expect(variableProblems({ ...good, UAA_URL: "https://login.example.company.io/" })).toEqual([]);
    expect(variableProblems({ MINIMUM_SIZE: 1 })).toEqual([]);
  });

  it("accepts a variable whose counterpart is absent: it may be a secret, or set in the dashboard", () => {
    expect(variableProblems({ UAA_URL: OWN_UAA, MODE: "shadow", MINIMUM_SIZE: "600000000" })).toEqual([]);
  });

  it.each([
    "http://localhost:8788",
    "https://127.0.0.1",
    "http://[::1]:8788",
    "https://uaa.sys.example.com",
    "https://uaa.sys.example.com.",
  ])("refuses the placeholder %s as an address", (address) => {
    expect(variableProblems({ ...good, UAA_URL: address })).toEqual([
      expect.stringContaining(placeholder("UAA_URL", address)),
    ]);
    expect(variableProblems({ ...good, CLOUD_CONTROLLER_URL: address })).toEqual([
      expect.stringContaining(placeholder("CLOUD_CONTROLLER_URL", address)),
    ]);
  });

  it.each([
    [
      { UAA_URL: "https://uaa.<system domain>" },
      'UAA_URL is "https://uaa.<system domain>". Set it to an https URL',
    ],
    [{ UAA_URL: "http://uaa.cf.acme.io" }, 'UAA_URL is "http://uaa.cf.acme.io". Set it to an https URL'],
    [{ KV_CACHE_TTL: "soon" }, 'KV_CACHE_TTL is "soon". Set it to a whole number of seconds, 30 to 86400'],
    [{ MINIMUM_FILE_MODE: 384 }, "MINIMUM_FILE_MODE is 384. Set it to one to four octal digits"],
    [{ MINIMUM_SIZE: 2, MAXIMUM_SIZE: 1 }, "MINIMUM_SIZE is 2. Set it to at most MAXIMUM_SIZE"],
  ])("refuses %j, with which the Worker would return 500 for every request", (changes, line) => {
    expect(variableProblems({ ...good, ...changes })).toEqual([expect.stringContaining(line)]);
  });
});
