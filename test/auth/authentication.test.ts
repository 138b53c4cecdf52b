import { env } from "cloudflare:workers";
import { exportSPKI, generateKeyPair, importJWK, UnsecuredJWT } from "jose";
import { afterEach, describe, expect, it, vi } from "vitest";
import { collectLogs } from "../support/logs.ts";
import { type Claims, createClaims, ISSUER, signToken } from "../support/tokens.ts";
import { resource, send } from "../support/worker.ts";

const BODY = { resources: [resource(1)] };
const now = () => Math.floor(Date.now() / 1000);

async function statusFor(token: string): Promise<number> {
  return (await send(BODY, { token })).status;
}

async function publicKeyPem(): Promise<string> {
  const { kty = "RSA", n = "", e = "" } = env.TEST_UAA_KEY;
  return exportSPKI((await importJWK({ kty, n, e }, "RS256", { extractable: true })) as CryptoKey);
}

afterEach(() => vi.restoreAllMocks());

describe("a valid token", () => {
  it.each<[string, Claims]>([
    ["is accepted from a user with cloud_controller.write", {}],
    ["is accepted from an admin", { scope: ["cloud_controller.admin"] }],
    [
      "is accepted from a client that acts for itself",
      { user_id: undefined, client_id: "ci", scope: ["cloud_controller.write"] },
    ],
    ["is accepted if the audience is a text", { aud: "cloud_controller" }],
    ["is accepted until it expires", { exp: now() + 60 }],
  ])("%s", async (_, changes) => {
    expect(await statusFor(await signToken(changes))).toBe(201);
  });

  it.each(["bearer", "BEARER", "Bearer", "bEaReR"])("is accepted after %s", async (scheme) => {
    const headers = { Authorization: `${scheme} ${await signToken()}` };
    expect((await send(BODY, { token: null, headers })).status).toBe(201);
  });
});

describe("an invalid token", () => {
  it.each<[string, Claims]>([
    ["that has expired", { exp: now() - 1 }],
    ["that expires now", { exp: now() }],
    ["without expiry", { exp: undefined }],
    ["that is not valid yet", { nbf: now() + 60 }],
    ["of another issuer", { iss: "https://uaa.example.org/oauth/token" }],
    ["of an issuer with the same prefix", { iss: `${ISSUER}/` }],
    ["without issuer", { iss: undefined }],
    ["for another audience", { aud: ["openid", "cf"] }],
    ["without audience", { aud: undefined }],
    ["that is a refresh token", { jti: "b4ba1dd2f5d04e7fa3f0ee2b2e5cd1b5-r" }],
    ["without jti", { jti: undefined }],
    ["with a jti that is not a text", { jti: 7 }],
    ["without user_id and client_id", { user_id: undefined, client_id: undefined }],
  ])("%s gets 401", async (_, changes) => {
    expect(await statusFor(await signToken(changes))).toBe(401);
  });

  it("with an unknown kid gets 401", async () => {
    expect(await statusFor(await signToken({}, { kid: "key-2" }))).toBe(401);
  });

  it("signed by another key under UAA's kid gets 401", async () => {
    const { privateKey } = await generateKeyPair("RS256");
    expect(await statusFor(await signToken({}, {}, privateKey))).toBe(401);
  });

  it("signed by a key in its own header (jwk, jku) gets 401", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    const jwk = (await crypto.subtle.exportKey("jwk", publicKey)) as { kty: string };
    const header = { jwk, jku: "https://evil.example.com/keys", kid: "evil" };
    const fetched = vi.spyOn(globalThis, "fetch");
    expect(await statusFor(await signToken({}, header, privateKey))).toBe(401);
    expect(fetched.mock.calls.filter(([url]) => String(url).includes("evil"))).toEqual([]);
  });

  it("with alg none gets 401", async () => {
    const unsigned = new UnsecuredJWT(createClaims()).encode();
    expect(await statusFor(unsigned)).toBe(401);
    // The same with a kid of UAA.
    const header = btoa(JSON.stringify({ alg: "none", kid: "key-1" })).replace(/=+$/, "");
    expect(await statusFor(unsigned.replace(/^[^.]*/, header))).toBe(401);
  });

  it("signed by HMAC with UAA's public key as the secret gets 401", async () => {
    const secret = new TextEncoder().encode(await publicKeyPem());
    expect(await statusFor(await signToken({}, { alg: "HS256" }, secret))).toBe(401);
  });

  it("signed by UAA's key with another algorithm (PS256) gets 401", async () => {
    const key = await importJWK({ ...env.TEST_UAA_KEY, alg: "PS256" }, "PS256");
    expect(await statusFor(await signToken({}, { alg: "PS256" }, key as CryptoKey))).toBe(401);
  });

  it("with a changed payload gets 401", async () => {
    const [header, , signature] = (await signToken({ scope: [] })).split(".");
    const payload = btoa(JSON.stringify(createClaims()))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
    expect(await statusFor(`${header}.${payload}.${signature}`)).toBe(401);
  });

  it.each(["", "garbage", "a.b.c", "..", "eyJhbGciOiJSUzI1NiJ9.e30", "null.null.null"])(
    "that is garbage (%j) gets 401",
    async (token) => {
      expect((await send(BODY, { token: null, headers: { Authorization: `Bearer ${token}` } })).status).toBe(
        401,
      );
    },
  );

  it("is logged with the reason, but without its text", async () => {
    const logs = collectLogs();
    const token = await signToken({ exp: now() - 1 });
    await statusFor(token);
    expect(logs).toContainEqual(
      expect.objectContaining({
        failure: "invalid-token",
        reason: expect.stringContaining("ERR_JWT_EXPIRED"),
      }),
    );
    expect(JSON.stringify(logs)).not.toContain(token.split(".")[2]);
  });
});

describe("a valid token without a scope that allows the request", () => {
  it.each<[string, Claims]>([
    ["without scopes", { scope: undefined }],
    ["with no scopes in the list", { scope: [] }],
    ["with a text instead of a list", { scope: "cloud_controller.write" }],
    ["with a read scope", { scope: ["cloud_controller.read"] }],
    ["of an admin that may only read", { scope: ["cloud_controller.admin_read_only"] }],
    ["with a scope that has the same prefix", { scope: ["cloud_controller.writer"] }],
  ])("%s gets 403", async (_, changes) => {
    expect(await statusFor(await signToken(changes))).toBe(403);
  });
});
