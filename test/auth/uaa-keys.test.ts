import { env } from "cloudflare:workers";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from "jose";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { collectLogs } from "../support/logs.ts";
import { createClaims, generateRsaKeys, signRawToken, signToken } from "../support/tokens.ts";
import { resource, sendWithEnv } from "../support/worker.ts";

const BODY = { resources: [resource(1)] };
const { kty, n, e, kid, alg } = env.TEST_UAA_KEY;
const PUBLIC_JWK = { kty, n, e, kid, alg };

/** Stands in for UAA: what it serves can be changed, and how often it was asked is counted. */
let uaa: { answer: () => Promise<Response> | Response; asked: number };

/** A fresh isolate, so to say: nothing is known yet. */
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

/** Lets time pass for the Worker, without waiting. */
function later(ms: number): void {
  const past = Date.now();
  vi.spyOn(Date, "now").mockImplementation(() => past + ms);
}

beforeEach(() => {
  isolate = { ...env };
  uaa = { answer: serving(PUBLIC_JWK), asked: 0 };
  vi.spyOn(globalThis, "fetch").mockImplementation(async () => {
    uaa.asked += 1;
    return uaa.answer();
  });
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockImplementation(() => {});
});
afterEach(() => vi.restoreAllMocks());

describe("UAA is asked as little as can be", () => {
  it("once for many requests", async () => {
    for (let index = 0; index < 5; index++) expect(await statusFor(await signToken())).toBe(201);
    expect(uaa.asked).toBe(1);
  });

  it("without following a redirect, and not for ever", async () => {
    await statusFor(await signToken());
    const [, init] = vi.mocked(fetch).mock.calls[0] ?? [];
    expect(init).toMatchObject({ redirect: "manual", signal: expect.any(AbortSignal) });
  });

  it("not at all for what no key could verify", async () => {
    const none = `${btoa('{"alg":"none","kid":"x"}').replace(/=+$/, "")}.e30.`;
    for (const token of ["", "garbage", none]) expect(await statusFor(token)).toBe(401);
    expect(uaa.asked).toBe(0);
  });

  it("for unknown kids once in 30 s, whatever is thrown at it", async () => {
    await statusFor(await signToken());
    for (let index = 0; index < 20; index++) {
      expect(await statusFor(await signToken({}, { kid: `made-up-${index}` }))).toBe(401);
    }
    expect(uaa.asked).toBe(1);
    later(31_000);
    for (let index = 0; index < 20; index++) await statusFor(await signToken({}, { kid: `other-${index}` }));
    expect(uaa.asked).toBe(2);
  });

  it("every ten minutes after the answer, so that a withdrawn key is forgotten", async () => {
    expect(await statusFor(await signToken())).toBe(201);
    const { jwk } = await newKey("key-2");
    uaa.answer = serving(jwk);
    later(601_000);
    expect(await statusFor(await signToken())).toBe(201);
    expect(await statusFor(await signToken())).toBe(401);
  });
});

describe("a token that was verified before", () => {
  it("is not verified again, but counts no longer than its own time", async () => {
    const verify = vi.spyOn(crypto.subtle, "verify");
    const token = await signToken();
    for (let request = 0; request < 3; request++) expect(await statusFor(token)).toBe(201);
    expect(verify).toHaveBeenCalledTimes(1);
    later(600_000);
    // Whether it is verified then is for the library to say, which has a clock of its own.
    await statusFor(token);
    expect(verify).toHaveBeenCalledTimes(2);
  });

  it("counts no more once its key is withdrawn, or another bears its name", async () => {
    for (const keys of [[], [{ ...(await newKey("key-1")).jwk }]]) {
      isolate = { ...env };
      uaa.answer = serving(PUBLIC_JWK);
      const token = await signToken({ exp: Math.floor(Date.now() / 1000) + 7_200 });
      expect(await statusFor(token)).toBe(201);
      uaa.answer = serving((await newKey("key-2")).jwk, ...keys);
      later(601_000);
      expect(await statusFor(token)).toBe(201);
      expect(await statusFor(token)).toBe(401);
    }
  });

  it("does not vouch for one that differs in a single character", async () => {
    const token = await signToken();
    expect(await statusFor(token)).toBe(201);
    const last = token.at(-10) === "A" ? "B" : "A";
    expect(await statusFor(token.slice(0, -10) + last + token.slice(-9))).toBe(401);
  });

  it("is forgotten when a hundred others have come since", async () => {
    const verify = vi.spyOn(crypto.subtle, "verify");
    const tokens = await Promise.all(Array.from({ length: 101 }, () => signToken()));
    for (const token of tokens) await statusFor(token);
    await statusFor(tokens[100] as string);
    expect(verify).toHaveBeenCalledTimes(101);
    await statusFor(tokens[0] as string);
    expect(verify).toHaveBeenCalledTimes(102);
  });
});

describe("UAA changes its keys", () => {
  it("a new key is fetched when the first token of it comes", async () => {
    const { jwk, token } = await newKey("key-2");
    await statusFor(await signToken());
    uaa.answer = serving(PUBLIC_JWK, jwk);
    later(31_000);
    expect(await statusFor(await token())).toBe(201);
    expect(await statusFor(await signToken())).toBe(201);
    expect(uaa.asked).toBe(2);
  });

  it("requests that come while the new key is being fetched wait for it", async () => {
    const { jwk, token } = await newKey("key-2");
    await statusFor(await signToken());
    uaa.answer = async () => {
      await scheduler.wait(100);
      return Response.json({ keys: [jwk] });
    };
    later(31_000);
    const statuses = await Promise.all(Array.from({ length: 5 }, async () => statusFor(await token())));
    expect(statuses).toEqual([201, 201, 201, 201, 201]);
    expect(uaa.asked).toBe(2);
  });
});

describe("UAA is down", () => {
  it("503 without a key, and as soon as it is up again all is well", async () => {
    uaa.answer = down;
    later(0);
    for (let index = 0; index < 3; index++) expect(await statusFor(await signToken())).toBe(503);
    expect(uaa.asked).toBe(1);
    uaa.answer = serving(PUBLIC_JWK);
    later(1_001);
    expect(await statusFor(await signToken())).toBe(201);
  });

  it("the keys already held go on serving, however old", async () => {
    await statusFor(await signToken());
    uaa.answer = down;
    later(86_400_000);
    const token = await signToken({ exp: Math.floor(Date.now() / 1000) + 60 });
    for (let index = 0; index < 3; index++) expect(await statusFor(token)).toBe(201);
    expect(uaa.asked).toBe(2);
  });

  it("a key that it might have is 503, not a token that is no good", async () => {
    const { token } = await newKey("key-2");
    await statusFor(await signToken());
    uaa.answer = down;
    later(31_000);
    expect(await statusFor(await token())).toBe(503);
    expect(await statusFor(await token())).toBe(503);
    expect(uaa.asked).toBe(2);
  });

  it.each([
    ["an error", () => new Response("{}", { status: 500 })],
    ["HTML", () => new Response("<html>", { headers: { "Content-Type": "text/html" } })],
    [
      "a redirect",
      () => new Response(null, { status: 302, headers: { Location: "https://evil.example.com" } }),
    ],
    ["no keys", serving()],
    ["keys of other kinds", serving({ kty: "oct", k: "c2VjcmV0", kid: "key-1" }, null, "x", { kty: "RSA" })],
    ["no key set", () => Response.json({ error: "unauthorized" })],
  ])("it answers %s: 503", async (_, answer) => {
    uaa.answer = answer;
    expect(await statusFor(await signToken())).toBe(503);
  });
});

describe("UAA's key set", () => {
  it("a key that can't be used does not take the others with it", async () => {
    const broken = { kty: "RSA", kid: "broken", n: "!", e: "AQAB", alg: "RS256" };
    uaa.answer = serving({ kty: "EC" }, broken, { ...PUBLIC_JWK, value: "PEM", use: "sig" });
    expect(await statusFor(await signToken())).toBe(201);
  });

  it.each(["RS256", "RS384", "RS512"])("a key without alg verifies %s", async (alg) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const { alg: _, ...jwk } = { ...(await exportJWK(publicKey)), kid: "any", alg };
    uaa.answer = serving(jwk);
    expect(await statusFor(await signToken({}, { alg, kid: "any" }, privateKey))).toBe(201);
  });

  it("a token without kid counts where there is but one key", async () => {
    const withoutKid = await signToken({}, { kid: undefined } as never);
    expect(await statusFor(withoutKid)).toBe(201);
    isolate = { ...env };
    uaa.answer = serving(PUBLIC_JWK, (await newKey("key-2")).jwk);
    expect(await statusFor(withoutKid)).toBe(401);
  });

  it("a key below 2048 bits is skipped and logged, and takes no other with it", async () => {
    const logs = collectLogs();
    const { privateKey, publicKey } = await generateRsaKeys(1024);
    uaa.answer = serving({ ...(await exportJWK(publicKey)), kid: "small", alg: "RS256" }, PUBLIC_JWK);
    const token = await signRawToken({ alg: "RS256", kid: "small" }, createClaims(), privateKey as CryptoKey);
    expect(await statusFor(token)).toBe(401);
    expect(await statusFor(await signToken())).toBe(201);
    expect(logs).toContainEqual(expect.objectContaining({ event: "uaa-key-skipped", kid: "small" }));
  });

  it.each<[string, unknown]>([
    ["an object", { a: 1 }],
    ["an object that makes no text", { toString: 1, valueOf: 1 }],
    ["an array", ["key-1"]],
    ["a number", 1],
    ["null", null],
    ["true", true],
  ])("a kid that is %s is an unknown one, for which UAA is not asked again", async (_, kid) => {
    expect(await statusFor(await signToken())).toBe(201);
    later(31_000);
    expect(await statusFor(await signRawToken({ alg: "RS256", kid }, createClaims()))).toBe(401);
    expect(uaa.asked).toBe(1);
  });

  it("is read no further than a megabyte", async () => {
    const chunk = new TextEncoder().encode(" ".repeat(100_000));
    let read = 0;
    uaa.answer = () =>
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
