import { expect, test } from "vitest";
import { keyOf, sha1Of, writeApp } from "./app.ts";
import { makeBlobs } from "./blobs.ts";
import { cloudflareApi, fail, NAMESPACE, type StoredKey, succeed } from "./cloudflare-api.ts";
import { resourcePool, temporaryProject } from "./command.ts";

const NAMESPACE_ID = `id = "${NAMESPACE}"`;

const asLines = (keys: readonly string[]) => `${keys.map((key) => key.replace(":", " ")).join("\n")}\n`;

test.concurrent("a list lands in bulk writes of 10,000, through a 429, a 500, cut connections and keys that were refused", async () => {
  const { config } = await temporaryProject({ KEY_PREFIX: "cf/" }, NAMESPACE_ID);
  const { keys, calls, faults, env } = await cloudflareApi();
  const expected = makeBlobs(21_000).map(({ key }) => key);
  faults.list = [
    (response) => {
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "1000" });
      response.write('{"success":true,"result":[');
      setImmediate(() => response.destroy());
      return true;
    },
  ];
  faults.put = [
    (response) => {
      fail(response, 429, 10429, "Rate limited", { "Retry-After": "2" });
      return true;
    },
    (response) => {
      response.destroy();
      return true;
    },
    (response) => {
      fail(response, 500, 10001, "internal error");
      return true;
    },
    (response, body) => {
      const entries = body as StoredKey[];
      for (const entry of entries.slice(3)) keys.set(entry.key, entry);
      const unsuccessful = entries.slice(0, 3).map(({ key }) => key);
      succeed(response, { successful_key_count: entries.length - 3, unsuccessful_keys: unsuccessful });
      return true;
    },
  ];

  const outcome = await resourcePool(["import", "-", "--remote", "--config", config], {
    env,
    input: asLines(expected),
  });

  expect(outcome).toMatchObject({
    code: 0,
    stdout: "21,000 resources added, 0 already there, 0 left out\n",
  });
  expect(outcome.stderr).toContain("Cloudflare's API answered 429 and asks to wait 2 s.");
  expect([...keys.keys()].sort()).toEqual(expected.map((key) => `cf/${key}`).sort());
  expect(new Set([...keys.values()].map(({ value }) => value))).toEqual(new Set(["1"]));
  const puts = calls.filter(({ operation }) => operation === "put");
  expect(puts.map(({ keys }) => keys)).toEqual([0, 0, 0, 0, 3, 10_000, 1000]);
  // What the server asked for with Retry-After.
  expect((puts[1]?.at ?? 0) - (puts[0]?.at ?? 0)).toBeGreaterThanOrEqual(1990);
});

test.concurrent("a long list takes no more memory than a short one", async () => {
  const { config } = await temporaryProject({}, NAMESPACE_ID);
  const { env } = await cloudflareApi();
  const keys = makeBlobs(300_000).map(({ key }) => key);
  const outcome = await resourcePool(["import", "-", "--dry-run", "--remote", "--config", config], {
    // The list is 13 MB, and would be many times that if anything of each line were kept.
    env: { ...env, NODE_OPTIONS: "--max-old-space-size=64" },
    input: asLines(keys),
  });
  expect(outcome).toMatchObject({
    code: 0,
    stdout: "300,000 resources would be added, 0 already there, 0 left out\n",
  });
});

test.concurrent("what is there is found out with few calls: by listing a small namespace, by reading from a large one", async () => {
  const { config, directory } = await temporaryProject({}, NAMESPACE_ID);
  const blobs = makeBlobs(12_000);
  const keys = blobs.map(({ key }) => key);
  await writeApp(directory, { "app/held": blobs[7]?.content ?? "", "app/new": "not in the namespace" });

  const small = await cloudflareApi(keys.slice(0, 2500));
  const whole = await resourcePool(["import", "-", "--remote", "--json", "--config", config], {
    env: small.env,
    input: asLines(keys.slice(0, 9000)),
  });
  expect(JSON.parse(whole.stdout)).toMatchObject({ added: 6500, alreadyThere: 2500 });
  expect(small.calls.map(({ operation, keys }) => [operation, keys])).toEqual([
    ["list", 1000],
    ["list", 0],
    ["list", 1000],
    ["list", 500],
    ["put", 6500],
  ]);

  const large = await cloudflareApi(keys);
  const few = await resourcePool(["add", "--remote", "--config", config, `${directory}/app`], {
    env: large.env,
  });
  expect(few.stdout).toBe("1 resource added, 1 already there, 0 left out\n");
  expect(large.calls.map(({ operation }) => operation)).toEqual(["list", "get", "put"]);
  expect(large.keys.get(keyOf("not in the namespace"))).toEqual({
    key: keyOf("not in the namespace"),
    value: "1",
  });
});

test.concurrent("list and stats read every page, and know other keys from resources; a reader that stops early is no error", async () => {
  const { config } = await temporaryProject({ KEY_PREFIX: "cf/" }, NAMESPACE_ID);
  const keys = makeBlobs(3500).map(({ key }) => key);
  const others = [
    `other/${keys[0]}`,
    "cf/snapshot/current",
    `cf/${"A".repeat(40)}:1`,
    `cf/${"a".repeat(40)}:01`,
    `cf/tombstone/${keys[1]?.slice(0, 40)}`,
  ];
  const { env } = await cloudflareApi([...keys.map((key) => `cf/${key}`), ...others]);

  const list = await resourcePool(["list", "--remote", "--config", config], { env });
  expect(list).toMatchObject({ code: 0, stderr: "" });
  expect(list.stdout).toBe(asLines([...keys].sort()));

  const start = keys[0]?.slice(0, 3) ?? "";
  const narrow = await resourcePool(
    ["list", "--prefix", start.toUpperCase(), "--remote", "--config", config],
    {
      env,
    },
  );
  expect(narrow.stdout).toBe(asLines(keys.filter((key) => key.startsWith(start)).sort()));

  const stats = await resourcePool(["stats", "--remote", "--json", "--config", config], { env });
  const total = keys.reduce((sum, key) => sum + Number(key.slice(41)), 0);
  const rows = JSON.parse(stats.stdout);
  expect(rows).toMatchObject({ resources: 3500, bytes: total, tombstones: 1, otherKeys: 3 });
  expect(rows.sizes[1]).toEqual({ below: 1000, resources: 3500, bytes: total });

  const cut = await resourcePool(["list", "--remote", "--config", config], {
    env,
    onStart: (child) => child.stdout?.once("data", () => child.stdout?.destroy()),
  });
  expect(cut).toMatchObject({ code: 0, stderr: "" });
});

test.concurrent("a removal leaves its tombstone before it deletes, also when the deletion takes a second attempt", async () => {
  const { config } = await temporaryProject({ KEY_PREFIX: "cf/" }, NAMESPACE_ID);
  const sha1 = sha1Of("gone");
  const all = [`cf/${sha1}:4`, `cf/${sha1}:5`, `cf/${keyOf("stays")}`];
  const { keys, faults, calls, env } = await cloudflareApi(all);
  const remove = ["remove", sha1.toUpperCase(), sha1Of("never there"), "--remote", "--config", config];

  const dry = await resourcePool([...remove, "--dry-run"], { env });
  expect(dry.stdout).toBe("2 resources would be removed, 1 not held, 0 left out\n");
  expect([...keys.keys()]).toEqual(all);
  calls.length = 0;

  let buriedFirst = false;
  faults.delete = [
    (response, body) => {
      buriedFirst = keys.has(`cf/tombstone/${sha1}`);
      const names = body as string[];
      succeed(response, { successful_key_count: 0, unsuccessful_keys: names });
      return true;
    },
  ];

  const outcome = await resourcePool([...remove, "--json"], { env });

  expect(outcome.code).toBe(0);
  expect(JSON.parse(outcome.stdout)).toEqual({
    removed: [
      { sha1, size: 4 },
      { sha1, size: 5 },
    ],
    notHeld: [sha1Of("never there")],
    leftOut: 0,
    dryRun: false,
    interrupted: false,
  });
  expect(buriedFirst).toBe(true);
  expect(calls.map(({ operation }) => operation)).toEqual(["list", "list", "put", "delete", "delete"]);
  expect([...keys.keys()].sort()).toEqual(
    [`cf/${keyOf("stays")}`, `cf/tombstone/${sha1}`, `cf/tombstone/${sha1Of("never there")}`].sort(),
  );
  const tombstone = keys.get(`cf/tombstone/${sha1}`);
  expect(tombstone?.expiration_ttl).toBe(604_800);
  expect(Date.now() - Date.parse(tombstone?.value ?? "")).toBeLessThan(60_000);
});

test.concurrent("a Ctrl-C lets the running batch finish and says what has landed; run again, nothing is missing", async () => {
  const { config } = await temporaryProject({}, NAMESPACE_ID);
  const { keys, faults, calls, env } = await cloudflareApi();
  const expected = makeBlobs(25_000).map(({ key }) => key);
  const command = ["import", "-", "--remote", "--json", "--config", config];
  let interrupt = () => {};
  const noticed = new Promise<void>((resolve) => {
    interrupt = resolve;
  });

  let signal = () => {};
  // The second bulk write is answered only after the command has noticed the interrupt.
  faults.put = [
    () => false,
    async () => {
      signal();
      await noticed;
      return false;
    },
  ];
  const first = await resourcePool(command, {
    env,
    input: asLines(expected),
    onStart: (child) => {
      signal = () => child.kill("SIGINT");
      child.stderr?.on("data", (data) => String(data).includes("finishing the running batch") && interrupt());
    },
  });
  expect(first.code).toBe(130);
  expect(JSON.parse(first.stdout)).toMatchObject({ added: 20_000, alreadyThere: 0, interrupted: true });
  expect(first.stderr).toContain("run the same command again to go on");
  expect(keys.size).toBe(20_000);
  expect(calls.filter(({ operation }) => operation === "put")).toHaveLength(2);

  const second = await resourcePool(command, { env, input: asLines(expected) });
  expect(second.code).toBe(0);
  expect(JSON.parse(second.stdout)).toMatchObject({ added: 5_000, alreadyThere: 20_000, interrupted: false });
  expect([...keys.keys()].sort()).toEqual([...expected].sort());
});

test.concurrent("a second Ctrl-C ends it at once", async () => {
  const { config } = await temporaryProject({}, NAMESPACE_ID);
  const { faults, env } = await cloudflareApi();
  let signal = () => {};
  // This write is never answered.
  faults.put = [
    () => {
      signal();
      return true;
    },
  ];
  const outcome = await resourcePool(["import", "-", "--remote", "--config", config], {
    env,
    input: asLines(makeBlobs(3).map(({ key }) => key)),
    onStart: (child) => {
      signal = () => child.kill("SIGINT");
      child.stderr?.on(
        "data",
        (data) => String(data).includes("again stops at once") && child.kill("SIGINT"),
      );
    },
  });
  expect(outcome).toMatchObject({ code: 130, stdout: "" });
});

test.concurrent.each([
  [
    "no account",
    { CLOUDFLARE_ACCOUNT_ID: "" },
    NAMESPACE_ID,
    [],
    2,
    /environment variable CLOUDFLARE_ACCOUNT_ID/,
  ],
  [
    "no token",
    { CLOUDFLARE_API_TOKEN: "" },
    NAMESPACE_ID,
    [],
    2,
    /environment variable CLOUDFLARE_API_TOKEN/,
  ],
  ["no namespace id", {}, "", [], 1, /has no id .*first `wrangler deploy` creates/s],
  [
    "a wrong token",
    { CLOUDFLARE_API_TOKEN: "wrong" },
    NAMESPACE_ID,
    [],
    1,
    /answered 403: Authentication error \(10000\)\n.*may edit Workers KV/s,
  ],
  [
    "a namespace that is not there",
    {},
    "",
    ["--namespace-id", "0".repeat(32)],
    1,
    /answered 404: namespace not found/,
  ],
])("%s: said on stderr, with the exit code", async (_, variables, namespace, args, code, message) => {
  const { config } = await temporaryProject({}, namespace);
  const { env } = await cloudflareApi();
  const outcome = await resourcePool(["stats", "--remote", "--config", config, ...args], {
    env: { ...env, ...variables },
  });
  expect(outcome).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
