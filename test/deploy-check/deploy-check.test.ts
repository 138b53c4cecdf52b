import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { routeProblems, variableProblems } from "../../src/deploy-check/deploy-check.ts";

const PROJECT = join(import.meta.dirname, "../..");
const OWN_UAA = "https://uaa.cf.acme.io";
const EXAMPLE = ["--config", "docs/examples/cache-only.toml"];
const VARIABLE = ["--var", `UAA_URL:${OWN_UAA}`];

/** Runs `wrangler deploy` and returns its output. Without an account it always fails. */
async function deploy(...args: string[]): Promise<string> {
  // Wrangler writes its logs there.
  const home = await mkdtemp(join(tmpdir(), "resource-matches-"));
  const env = { ...process.env, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_API_TOKEN: "", HOME: home };
  const wrangler = join(PROJECT, "node_modules/.bin/wrangler");
  const deployment = promisify(execFile)(wrangler, ["deploy", ...args], { cwd: PROJECT, env });
  const { stdout, stderr } = await deployment.then(
    () => expect.fail("deployed"),
    (error: { stdout: string; stderr: string }) => error,
  );
  await rm(home, { recursive: true });
  return stdout + stderr;
}

describe("wrangler deploy", () => {
  it.concurrent("refuses the local foundation's UAA_URL before any request to Cloudflare", async () => {
    const output = await deploy();
    expect(output).toContain("Not deployed. Fix the [vars] of wrangler.toml:");
    expect(output).toContain('UAA_URL is the placeholder "http://localhost:8788". Set it to ');
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("refuses the route of an example", async () => {
    const output = await deploy(...EXAMPLE, ...VARIABLE);
    expect(output).toContain("Not deployed. Fix the routes of docs/examples/cache-only.toml:");
    expect(output).toContain(
      'The route "resource-matches.example.com" is a placeholder. Set it to a hostname of your zone, with custom_domain',
    );
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("accepts the UAA and the route of a foundation, and then needs an account", async () => {
    // The example's path to the source is relative to its folder. Only words after --var are variables.
    const output = await deploy(
      "src/index.ts",
      "--message",
      "MODE:shadows",
      ...EXAMPLE,
      ...VARIABLE,
      "MODE:answer",
      "--route",
      "api.cf.acme.io/v3/resource_matches*",
    );
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
