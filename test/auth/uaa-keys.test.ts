import { env } from "cloudflare:workers";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from "jose";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { collectLogs } from "../support/logs.ts";
import { createClaims, generateRsaKeys, signRawToken, signToken } from "../support/tokens.ts";
import { resource, sendWithEnv } from "../support/worker.ts";

const BODY = { resources: [resource(1)] };
const { kty, n, e, kid, alg } = env.TEST_UAA_KEY;
const PUBLIC_JWK = { kty, n, e, kid, alg };

/** A fake UAA. It counts its requests. */
let uaa: { respond: () => Promise<Response> | Response; requests: number };

/** The env object of a new isolate, whose caches are empty. */
let isolate: object;

const statusFor = async (token: string) => (await sendWithEnv(isolate, BODY, { token })).status;
const serving =
  (...keys: unknown[]) =>
  () =>
    Response.json({ keys });
const down = () => Promise.reject(new TypeError("connection refused"));

async function newKey(kid: string): Promise<{ jwk: JWK; token: () => Promise<string> }> {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg: "RS256" },
    token: () => signToken({}, { kid }, privateKey as CryptoKey),
  };
}

/** Advances the clock of the Worker. */
function advanceClock(ms: number): void {
  const past = Date.now();
  vi.spyOn(Date, "now").mockImplementation(() => past + ms);
}

beforeEach(() => {
  isolate = { ...env };
  uaa = { respond: serving(PUBLIC_JWK), requests: 0 };
  vi.spyOn(globalThis, "fetch").mockImplementation(async () => {
    uaa.requests += 1;
    return uaa.respond();
  });
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockImplementation(() => {});
});
afterEach(() => vi.restoreAllMocks());

describe("keys are fetched", () => {
  it("fetches UAA's keys once for many requests", async () => {
    for (let index = 0; index < 5; index++) expect(await statusFor(await signToken())).toBe(201);
    expect(uaa.requests).toBe(1);
  });

  it("fetches UAA's keys with a timeout, and without following redirects (R2.2)", async () => {
    await statusFor(await signToken());
    const [, init] = vi.mocked(fetch).mock.calls[0] ?? [];
    expect(init).toMatchObject({ redirect: "manual", signal: expect.any(AbortSignal) });
  });

  it("names itself when it fetches UAA's keys, because firewalls refuse requests without User-Agent", async () => {
    await statusFor(await signToken());
    const [, init] = vi.mocked(fetch).mock.calls[0] ?? [];
    expect(new Headers(init?.headers).get("User-Agent")).toMatch(/^resource-matches\/\d/);
  });

  it("does not fetch UAA's keys for a token that no key could verify", async () => {
    const none = `${btoa('{"alg":"none","kid":"x"}').replace(/=+$/, "")}.e30.`;
    for (const token of ["", "garbage", none]) expect(await statusFor(token)).toBe(401);
    expect(uaa.requests).toBe(0);
  });

  it("fetches UAA's keys at most every 30 s for unknown kids", async () => {
    await statusFor(await signToken());
    for (let index = 0; index < 20; index++) {
      expect(await statusFor(await signToken({}, { kid: `unknown-${index}` }))).toBe(401);
    }
    expect(uaa.requests).toBe(1);
    advanceClock(31_000);
    for (let index = 0; index < 20; index++) await statusFor(await signToken({}, { kid: `other-${index}` }));
    expect(uaa.requests).toBe(2);
  });

  it("fetches UAA's keys every ten minutes after a response, so that withdrawn keys are dropped", async () => {
    expect(await statusFor(await signToken())).toBe(201);
    const { jwk } = await newKey("key-2");
    uaa.respond = serving(jwk);
    advanceClock(601_000);
    expect(await statusFor(await signToken())).toBe(201);
    expect(await statusFor(await signToken())).toBe(401);
  });
});

describe("a token that was verified before", () => {
  it("verifies a token once until it expires", async () => {
    const verify = vi.spyOn(crypto.subtle, "verify");
    const token = await signToken();
    for (let request = 0; request < 3; request++) expect(await statusFor(token)).toBe(201);
    expect(verify).toHaveBeenCalledTimes(1);
    advanceClock(600_000);
    // The library has its own clock, so that only the call is checked.
    await statusFor(token);
    expect(verify).toHaveBeenCalledTimes(2);
  });

  it("returns 401 for a verified token once its key is withdrawn or replaced under the same kid", async () => {
    for (const keys of [[], [{ ...(await newKey("key-1")).jwk }]]) {
      isolate = { ...env };
      uaa.respond = serving(PUBLIC_JWK);
      const token = await signToken({ exp: Math.floor(Date.now() / 1000) + 7_200 });
      expect(await statusFor(token)).toBe(201);
      uaa.respond = serving((await newKey("key-2")).jwk, ...keys);
      advanceClock(601_000);
      expect(await statusFor(token)).toBe(201);
      expect(await statusFor(token)).toBe(401);
    }
  });

  it("refuses a token that differs from a verified one in one character", async () => {
    const token = await signToken();
    expect(await statusFor(token)).toBe(201);
    const last = token.at(-10) === "A" ? "B" : "A";
    expect(await statusFor(token.slice(0, -10) + last + token.slice(-9))).toBe(401);
  });

  it("verifies a token again after a hundred other tokens", async () => {
    const verify = vi.spyOn(crypto.subtle, "verify");
    const tokens = await Promise.all(Array.from({ length: 101 }, () => signToken()));
    for (const token of tokens) await statusFor(token);
    await statusFor(tokens[100] as string);
    expect(verify).toHaveBeenCalledTimes(101);
    await statusFor(tokens[0] as string);
    expect(verify).toHaveBeenCalledTimes(102);
  });
});

describe("a new key of UAA", () => {
  it("fetches a new key of UAA for the first token that names it", async () => {
    const { jwk, token } = await newKey("key-2");
    await statusFor(await signToken());
    uaa.respond = serving(PUBLIC_JWK, jwk);
    advanceClock(31_000);
    expect(await statusFor(await token())).toBe(201);
    expect(await statusFor(await signToken())).toBe(201);
    expect(uaa.requests).toBe(2);
  });

  it("fetches a new key of UAA once for several requests, which wait for it", async () => {
    const { jwk, token } = await newKey("key-2");
    await statusFor(await signToken());
    uaa.respond = async () => {
      await scheduler.wait(100);
      return Response.json({ keys: [jwk] });
    };
    advanceClock(31_000);
    const statuses = await Promise.all(Array.from({ length: 5 }, async () => statusFor(await token())));
    expect(statuses).toEqual([201, 201, 201, 201, 201]);
    expect(uaa.requests).toBe(2);
  });
});

describe("UAA is down", () => {
  it("returns 503 until UAA responds, if the isolate has no keys of UAA", async () => {
    uaa.respond = down;
    advanceClock(0);
    for (let index = 0; index < 3; index++) expect(await statusFor(await signToken())).toBe(503);
    expect(uaa.requests).toBe(1);
    uaa.respond = serving(PUBLIC_JWK);
    advanceClock(1_001);
    expect(await statusFor(await signToken())).toBe(201);
  });

  it("verifies tokens with cached keys of any age while UAA is down", async () => {
    await statusFor(await signToken());
    uaa.respond = down;
    advanceClock(86_400_000);
    const token = await signToken({ exp: Math.floor(Date.now() / 1000) + 60 });
    for (let index = 0; index < 3; index++) expect(await statusFor(token)).toBe(201);
    expect(uaa.requests).toBe(2);
  });

  it("returns 503, not 401, for an unknown kid that UAA may have", async () => {
    const { token } = await newKey("key-2");
    await statusFor(await signToken());
    uaa.respond = down;
    advanceClock(31_000);
    expect(await statusFor(await token())).toBe(503);
    expect(await statusFor(await token())).toBe(503);
    expect(uaa.requests).toBe(2);
  });

  it.each([
    ["an error", () => new Response("{}", { status: 500 })],
    ["HTML", () => new Response("<html>", { headers: { "Content-Type": "text/html" } })],
    [
      "a redirect",
      () => new Response(null, { status: 302, headers: { Location: "https://evil.example.com" } }),
    ],
    ["no keys", serving()],
    ["keys of other types", serving({ kty: "oct", k: "c2VjcmV0", kid: "key-1" }, null, "x", { kty: "RSA" })],
    ["another object", () => Response.json({ error: "unauthorized" })],
  ])("returns 503 if UAA responds with %s", async (_, respond) => {
    uaa.respond = respond;
    expect(await statusFor(await signToken())).toBe(503);
  });
});

describe("UAA's key set", () => {
  it("verifies tokens if UAA's key set has unusable keys next to usable ones", async () => {
    const broken = { kty: "RSA", kid: "broken", n: "!", e: "AQAB", alg: "RS256" };
    uaa.respond = serving({ kty: "EC" }, broken, { ...PUBLIC_JWK, value: "PEM", use: "sig" });
    expect(await statusFor(await signToken())).toBe(201);
  });

  it.each(["RS256", "RS384", "RS512"])("verifies %s with a key of UAA that has no alg", async (alg) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const { alg: _, ...jwk } = { ...(await exportJWK(publicKey)), kid: "any", alg };
    uaa.respond = serving(jwk);
    expect(await statusFor(await signToken({}, { alg, kid: "any" }, privateKey))).toBe(201);
  });

  it.each([
    ["a token without kid", 7, "key", {}, 201],
    ["a token without kid", 8, "key", {}, 401],
    ["a token whose kid no key has", 7, undefined, { kid: "other" }, 201],
    ["a token whose kid no key has", 7, "key", { kid: "other" }, 401],
  ])(
    "verifies %s with one of at most eight keys: the last after %i with the kid %s, %o",
    async (_, others, kid, header, status) => {
      const named = (jwk: object, index: number) => ({ ...jwk, kid: kid && `${kid}-${index}` });
      const keys = await Promise.all(Array.from({ length: others }, () => newKey("")));
      uaa.respond = serving(...[...keys.map(({ jwk }) => jwk), PUBLIC_JWK].map(named));
      expect(await statusFor(await signToken({}, { kid: undefined, ...header } as never))).toBe(status);
    },
  );

  it("skips and logs a key of UAA below 2048 bits", async () => {
    const logs = collectLogs();
    const { privateKey, publicKey } = await generateRsaKeys(1024);
    uaa.respond = serving({ ...(await exportJWK(publicKey)), kid: "small", alg: "RS256" }, PUBLIC_JWK);
    const token = await signRawToken({ alg: "RS256", kid: "small" }, createClaims(), privateKey as CryptoKey);
    expect(await statusFor(token)).toBe(401);
    expect(await statusFor(await signToken())).toBe(201);
    expect(logs).toContainEqual(expect.objectContaining({ event: "uaa-key-skipped", kid: "small" }));
  });

  it.each<[string, unknown]>([
    ["an object", { a: 1 }],
    ["an object without a string conversion", { toString: 1, valueOf: 1 }],
    ["an array", ["key-1"]],
    ["a number", 1],
    ["null", null],
    ["true", true],
  ])("does not fetch UAA's keys for a kid that is %s", async (_, kid) => {
    expect(await statusFor(await signToken())).toBe(201);
    advanceClock(31_000);
    expect(await statusFor(await signRawToken({ alg: "RS256", kid }, createClaims()))).toBe(401);
    expect(uaa.requests).toBe(1);
  });

  it("reads at most 1 MB of UAA's key set", async () => {
    const chunk = new TextEncoder().encode(" ".repeat(100_000));
    let read = 0;
    uaa.respond = () =>
      new Response(
        new ReadableStream<Uint8Array>(
          {
            pull(controller) {
              read += chunk.length;
              controller.enqueue(chunk.slice());
              if (read >= 20_000_000) controller.close();
            },
          },
          { highWaterMark: 0 },
        ),
      );
    expect(await statusFor(await signToken())).toBe(503);
    expect(read).toBeLessThan(1_500_000);
  });
});
