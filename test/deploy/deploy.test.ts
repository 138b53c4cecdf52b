import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deploymentProblems, routeProblems, variableProblems } from "../../src/deploy/deployment-problems.ts";

const PROJECT = join(import.meta.dirname, "../..");
const DOCS = join(PROJECT, "docs");
const OWN_UAA = "https://uaa.cf.acme.io";
const EXAMPLE = readFileSync(join(DOCS, "examples/read-through.toml"), "utf8");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resource-matches-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** An example with the names of a foundation of one's own, and the hostname <name>.acme.io. */
const configOf = (name: string) =>
  EXAMPLE.replace('name = "resource-matches"', `name = "${name}"`)
    .replace("resource-matches.example.com", `${name}.acme.io`)
    .replaceAll("example.com", "acme.io")
    .replace('main = "src', `main = "${join(PROJECT, "src")}`);

/** Writes files into a directory of their own, and returns its path. */
async function directoryOf(files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(folder, "configurations-"));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
  return directory;
}

describe("npm run deploy", () => {
  /** Runs `npm run deploy` in a directory, and returns its output. Without an account it always fails. */
  async function deploy(cwd: string, ...args: string[]): Promise<string> {
    // Wrangler writes its logs to HOME.
    const env = { ...process.env, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_API_TOKEN: "", HOME: folder };
    const npm = ["--prefix", PROJECT, "run", "-s", "deploy", "--", ...args];
    const command = promisify(execFile)("npm", npm, { cwd, env });
    const { stdout, stderr } = await command.then(
      () => expect.fail("deployed"),
      (error: { stdout: string; stderr: string }) => error,
    );
    return stdout + stderr;
  }

  it.concurrent("refuses the project's wrangler.toml before any request to Cloudflare", async () => {
    const output = await deploy(PROJECT);
    expect(output).toContain(
      'Not deployed. Fix this first:\n  The name of the Worker is the default, "resource-matches". Give each',
    );
    expect(output).toContain('UAA_URL is the placeholder "http://localhost:8788". Set it to ');
    expect(output).not.toContain("CLOUDFLARE_API_TOKEN");
  });

  it.concurrent("passes all options on to wrangler, with the path from the user's directory", async () => {
    const directory = await directoryOf({ "a.toml": configOf("matches-a") });
    // Only words after --var are variables.
    const options = [
      "--message",
      "MODE:shadows",
      "--config",
      "a.toml",
      "--var",
      `UAA_URL:${OWN_UAA}`,
      "MODE:answer",
    ];
    const output = await deploy(directory, ...options, "--route", "api.cf.acme.io/v3/resource_matches*");
    expect(output).not.toContain("Not deployed");
    expect(output).toContain("CLOUDFLARE_API_TOKEN");
  });
});

describe("the problems of a deployment", () => {
  /** The problems of `wrangler deploy --config <the first file> <args>`, in a directory with these files. */
  async function problemsOf(files: Record<string, string>, ...args: string[]): Promise<string[]> {
    const directory = await directoryOf(files);
    return deploymentProblems(["deploy", "--config", `${Object.keys(files)[0]}`, ...args], directory);
  }
  const a = configOf("matches-a");
  const b = configOf("matches-b");
  /** A configuration, followed by tables for an environment. */
  const withEnvironment = (config: string, name: string, ...lines: string[]) =>
    [config, `[env.${name}]`, ...lines].join("\n");
  const BINDINGS = [
    'kv_namespaces = [{ binding = "RESOURCE_CACHE" }]',
    'durable_objects.bindings = [{ name = "CATALOG", class_name = "Catalog" }, { name = "PUSH_SESSIONS", class_name = "PushSessions" }]',
    `vars.UAA_URL = "${OWN_UAA}"`,
  ];
  const routeOf = (host: string) => `routes = [{ pattern = "${host}", custom_domain = true }]`;

  it("refuses an example, and prints how to copy it from the user's directory", () => {
    const args = ["deploy", "--config", "examples/cache-only.toml", "--name", "matches-prod"];
    const problems = deploymentProblems(args, DOCS).join("\n");
    expect(problems).toContain("cp examples/cache-only.toml ../wrangler.foundation.toml");
    expect(problems).toContain(
      'The route "resource-matches.example.com" is a placeholder. Set it to a hostname of',
    );
  });

  it("throws the path of a configuration that can't be read", () => {
    expect(() => deploymentProblems(["deploy", "--config=wrangler.missing.toml"], PROJECT)).toThrow(
      join(PROJECT, "wrangler.missing.toml"),
    );
  });

  it("accepts configurations of several foundations in one directory, also with environments", async () => {
    const withStaging = withEnvironment(a, "staging", routeOf("staging.acme.io"), ...BINDINGS);
    const files = { "a.toml": withStaging, "b.toml": b, "package.json": '{ "name": "matches-a" }' };
    expect(await problemsOf(files)).toEqual([]);
    expect(await problemsOf(files, "--env", "staging")).toEqual([]);
  });

  it.each<[string, Record<string, string>, string[], string]>([
    ["another file", { "a.toml": a, "b.toml": b.replace(/^name = .*/m, 'name = "matches-a"') }, [], "b.toml"],
    [
      "a file of another Worker",
      {
        "a.toml": a,
        "b.json": '{ "name": "matches-a", "main": "b.js", "compatibility_date": "2026-10-01" }',
      },
      [],
      "b.json",
    ],
    [
      "another file, for an environment",
      {
        "a.toml": withEnvironment(a, "staging", routeOf("staging.acme.io"), ...BINDINGS),
        "b.toml": configOf("matches-a-staging"),
      },
      ["--env", "staging"],
      "b.toml",
    ],
    [
      "an environment of another file",
      {
        "a.toml": configOf("matches-b-staging"),
        "b.toml": withEnvironment(b, "staging", routeOf("staging.acme.io"), ...BINDINGS),
      },
      [],
      "b.toml, [env.staging],",
    ],
    [
      "the top level of its own file",
      { "a.toml": withEnvironment(a, "prod", 'name = "matches-a"', routeOf("prod.acme.io"), ...BINDINGS) },
      ["--env=prod"],
      "a.toml",
    ],
    [
      "an environment of its own file",
      { "a.toml": withEnvironment(a, "prod", 'name = "matches-a"', routeOf("prod.acme.io"), ...BINDINGS) },
      [],
      "a.toml, [env.prod],",
    ],
    ["another file, by --name", { "a.toml": a, "b.toml": b }, ["--name", "matches-b"], "b.toml"],
  ])("refuses the name of %s", async (_, files, args, place) => {
    const problems = await problemsOf(files, ...args);
    expect(problems).toEqual([
      expect.stringMatching(/ has the name "[^"]+" too: one deployment would replace/),
    ]);
    expect(problems[0]).toContain(`${place} has the `);
  });

  it.each<[string, Record<string, string>, string[], string]>([
    [
      "another file",
      { "a.toml": a, "b.toml": b.replace("matches-b.acme.io", "matches-a.acme.io") },
      [],
      "b.toml",
    ],
    ["another file, by --domain", { "a.toml": a, "b.toml": b }, ["--domain", "matches-b.acme.io"], "b.toml"],
    [
      "the top level of its own file, which an environment inherits",
      { "a.toml": withEnvironment(a, "prod", ...BINDINGS) },
      ["--env", "prod"],
      "a.toml",
    ],
  ])("refuses the route of %s", async (_, files, args, place) => {
    const problems = await problemsOf(files, ...args);
    expect(problems).toEqual([expect.stringMatching(/ has the route "[^"]+" too: one Worker would take/)]);
    expect(problems[0]).toContain(`${place} has the `);
  });

  it("checks the routes of the command line instead of those of the file", async () => {
    const files = { "a.toml": EXAMPLE.replace('name = "resource-matches"', 'name = "matches-a"') };
    const variables = ["--var", `UAA_URL:${OWN_UAA}`, "CLOUD_CONTROLLER_URL:https://api.cf.acme.io"];
    expect(await problemsOf(files, ...variables, "--route", "api.cf.acme.io/v3/*")).toEqual([]);
    expect(await problemsOf(files, ...variables, "--routes", "api.cf.acme.io/*", "*.example.org/*")).toEqual([
      expect.stringMatching(/^The route "\*\.example\.org\/\*" is a placeholder\. /),
    ]);
  });

  it("refuses a configuration without the Worker's bindings", async () => {
    const config = a
      .replace('binding = "RESOURCE_CACHE"', 'binding = "OTHER"')
      .replace('"CATALOG"', '"OTHER_TOO"');
    expect(await problemsOf({ "a.toml": config })).toEqual([
      "RESOURCE_CACHE is missing. Add it: a KV namespace binding",
      "CATALOG is missing. Add it: a Durable Object namespace binding",
    ]);
  });

  it("refuses an environment without bindings and variables, which it does not inherit", async () => {
    const config = withEnvironment(a, "prod", routeOf("prod.acme.io"));
    expect(await problemsOf({ "a.toml": config }, "--env", "prod")).toEqual([
      "RESOURCE_CACHE is missing in [env.prod]. Add it: a KV namespace binding",
      "CATALOG is missing in [env.prod]. Add it: a Durable Object namespace binding",
      "PUSH_SESSIONS is missing in [env.prod]. Add it: a Durable Object namespace binding",
      "UAA_URL is missing in [env.prod]. Add it: https://uaa.<system domain>, the foundation's UAA",
    ]);
  });

  it("refuses a configuration without UAA_URL, unless wrangler keeps variables or requires it as a secret", async () => {
    const config = a.replace(/^UAA_URL.*\n/m, "");
    expect(await problemsOf({ "a.toml": config })).toEqual([
      "UAA_URL is missing. Add it: https://uaa.<system domain>, the foundation's UAA",
    ]);
    expect(await problemsOf({ "a.toml": config }, "--keep-vars")).toEqual([]);
    expect(await problemsOf({ "a.toml": `keep_vars = true\n${config}` })).toEqual([]);
    expect(await problemsOf({ "a.toml": `secrets.required = ["UAA_URL"]\n${config}` })).toEqual([]);
    expect(await problemsOf({ "a.toml": config }, "--var", `UAA_URL:${OWN_UAA}`)).toEqual([]);
  });

  it("refuses shadow mode without CLOUD_CONTROLLER_URL, unless wrangler keeps variables", async () => {
    const config = a.replace(/^CLOUD_CONTROLLER_URL.*/m, 'MODE = "shadow"');
    expect(await problemsOf({ "a.toml": config })).toEqual([
      expect.stringContaining('MODE is "shadow". Set it to answer if CLOUD_CONTROLLER_URL is not set'),
    ]);
    expect(await problemsOf({ "a.toml": `keep_vars = true\n${config}` })).toEqual([]);
  });
});

it.each([
  "api.<system domain>/v3/resource_matches*",
  "api.<domain>/*",
  "api.sys.example.com./v3/resource_matches*",
  "http*://api.example.com/v3/resource_matches*",
  "*://*.example.com/*",
  "*example.com*",
  "http://api.sys.example.org/*",
  "api.example/*",
])("refuses the placeholder %s as a route", (pattern) => {
  expect(routeProblems([pattern])).toEqual([expect.stringContaining(`"${pattern}" is a placeholder. `)]);
});

it.each([
  "http*://api.cf.acme.io/v3/resource_matches*",
  "*://*.cf.acme.io/*",
  "*cf.acme.io./*",
  "api.example.com.acme.io/*",
  "https://api.example.company.io/*",
])("accepts the route %s", (pattern) => {
  expect(routeProblems([pattern])).toEqual([]);
});

describe("the variables of a deployment", () => {
  const binding = Object.fromEntries(
    ["get", "put", "delete", "getByName"].map((method) => [method, () => {}]),
  );
  const bindings = { RESOURCE_CACHE: binding, CATALOG: binding, PUSH_SESSIONS: binding };
  const good = {
    ...bindings,
    UAA_URL: OWN_UAA,
    CLOUD_CONTROLLER_URL: "https://api.cf.acme.io",
    MINIMUM_SIZE: "65536",
  };
  const placeholder = (name: string, address: string) => `${name} is the placeholder "${address}"`;

  it("accepts the variables of any foundation", () => {
    expect(variableProblems(good)).toEqual([]);
    expect(variableProblems({ ...good, UAA_URL: "https://login.example.company.io/" })).toEqual([]);
    expect(variableProblems({ ...bindings, UAA_URL: OWN_UAA, MINIMUM_SIZE: 1 })).toEqual([]);
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
