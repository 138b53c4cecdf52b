import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { wrongRoutes } from "../../src/deploy-check/routes.ts";
import { wrongVariables } from "../../src/deploy-check/variables.ts";

const PROJECT = join(import.meta.dirname, "../..");
const OWN_UAA = "https://uaa.cf.acme.io";
const EXAMPLE = ["--config", "docs/examples/cache-only.toml"];
const VARIABLE = ["--var", `UAA_URL:${OWN_UAA}`];

/** What `wrangler deploy` prints, which without an account ends with an error in any case. */
async function deploy(...args: string[]): Promise<string> {
  // Where wrangler has its logs.
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
  it.concurrent("is refused while UAA_URL is the local foundation's, before anything is asked of Cloudflare", async () => {
    const output = await deploy();
    expect(output).toContain("Not deployed: in the [vars] of wrangler.toml,");
    expect(output).toContain('UAA_URL is "http://localhost:8788", which is only an example: set ');
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("is refused while a route is an example's", async () => {
    const output = await deploy(...EXAMPLE, ...VARIABLE);
    expect(output).toContain("Not deployed: in the routes of docs/examples/cache-only.toml,");
    expect(output).toContain(
      '"api.sys.example.com/v3/resource_matches*" is only an example: set api.<system domain>',
    );
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("goes on to the account with a UAA and a route of a foundation's own", async () => {
    // The example's own path to the source starts from its folder. Only what follows --var is a variable.
    const output = await deploy(
      ...["src/index.ts", "--message", "MODE:shadows", ...EXAMPLE],
      ...[...VARIABLE, "MODE:answer", "--route", "api.cf.acme.io/v3/resource_matches*"],
    );
    expect(output).not.toContain("Not deployed");
    expect(output).toContain("CLOUDFLARE_API_TOKEN");
  });
});

it("a route may be any foundation's", () => {
  const own = ["api.cf.acme.io/v3/resource_matches*", { pattern: "https://api.example.company.io/*" }];
  expect(wrongRoutes(own)).toEqual([]);
  expect(wrongRoutes([...own, "*.example.com/*", { pattern: "http://api.sys.example.org/*" }])).toEqual([
    expect.stringMatching(/^"\*\.example\.com\/\*" is only an example: /),
    expect.stringMatching(/^"http:\/\/api\.sys\.example\.org\/\*" is only an example: /),
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
])("the route %s is only an example", (pattern) => {
  expect(wrongRoutes([pattern])).toEqual([expect.stringContaining(`"${pattern}" is only an example: `)]);
});

it.each([
  "http*://api.cf.acme.io/v3/resource_matches*",
  "*://*.cf.acme.io/*",
  "*cf.acme.io./*",
  "api.example.com.acme.io/*",
])("the route %s is none", (pattern) => {
  expect(wrongRoutes([pattern])).toEqual([]);
});

describe("the variables of a Worker that is to be deployed", () => {
  const good = { UAA_URL: OWN_UAA, CLOUD_CONTROLLER_URL: "https://api.cf.acme.io", MINIMUM_SIZE: "65536" };
  const example = (name: string, address: string) => `${name} is "${address}", which is only an example`;

  it("may be those of any foundation, and UAA_URL may be no variable at all", () => {
    expect(wrongVariables(good)).toEqual([]);
    expect(wrongVariables({ ...good, UAA_URL: "https://login.example.company.io/" })).toEqual([]);
    expect(wrongVariables({ MINIMUM_SIZE: 1 })).toEqual([]);
  });

  it("are not judged by one that is absent, which may be a secret or stand in the dashboard", () => {
    expect(wrongVariables({ UAA_URL: OWN_UAA, MODE: "shadow", MINIMUM_SIZE: "600000000" })).toEqual([]);
  });

  it.each([
    ...["http://localhost:8788", "https://127.0.0.1", "http://[::1]:8788"],
    ...["https://uaa.sys.example.com", "https://uaa.sys.example.com."],
  ])("may not name %s", (address) => {
    expect(wrongVariables({ ...good, UAA_URL: address })).toEqual([
      expect.stringContaining(example("UAA_URL", address)),
    ]);
    expect(wrongVariables({ ...good, CLOUD_CONTROLLER_URL: address })).toEqual([
      expect.stringContaining(example("CLOUD_CONTROLLER_URL", address)),
    ]);
  });

  it.each([
    [
      { UAA_URL: "https://uaa.<system domain>" },
      'UAA_URL is "https://uaa.<system domain>": set an https URL',
    ],
    [{ UAA_URL: "http://uaa.cf.acme.io" }, 'UAA_URL is "http://uaa.cf.acme.io": set an https URL'],
    [{ KV_CACHE_TTL: "soon" }, 'KV_CACHE_TTL is "soon": set a whole number of seconds, 30 to 86400'],
    [{ MINIMUM_FILE_MODE: 384 }, "MINIMUM_FILE_MODE is 384: set one to four octal digits"],
    [{ MINIMUM_SIZE: 2, MAXIMUM_SIZE: 1 }, "MINIMUM_SIZE is 2: set at most MAXIMUM_SIZE"],
  ])("may not be what would answer 500 to every request: %j", (changes, line) => {
    expect(wrongVariables({ ...good, ...changes })).toEqual([expect.stringContaining(line)]);
  });
});
