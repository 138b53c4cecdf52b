import { env } from "cloudflare:workers";
import { exportSPKI, generateKeyPair, importJWK, UnsecuredJWT } from "jose";
import { afterEach, describe, expect, it, vi } from "vitest";
import { collectLogs } from "../support/logs.ts";
import { type Claims, createClaims, ISSUER, signToken } from "../support/tokens.ts";
import { resource, send } from "../support/worker.ts";

const BODY = { resources: [resource(1)] };
const now = () => Math.floor(Date.now() / 1000);

/** What the Worker says to a token. */
async function statusFor(token: string): Promise<number> {
  return (await send(BODY, { token })).status;
}

async function publicKeyPem(): Promise<string> {
  const { kty = "RSA", n = "", e = "" } = env.TEST_UAA_KEY;
  return exportSPKI((await importJWK({ kty, n, e }, "RS256", { extractable: true })) as CryptoKey);
}

afterEach(() => vi.restoreAllMocks());

describe("a token that counts", () => {
  it.each<[string, Claims]>([
    ["a user who may write", {}],
    ["an admin", { scope: ["cloud_controller.admin"] }],
    ["a client for itself", { user_id: undefined, client_id: "ci", scope: ["cloud_controller.write"] }],
    ["one audience, as text", { aud: "cloud_controller" }],
    ["one second before it expires", { exp: now() + 60 }],
  ])("%s", async (_, changes) => {
    expect(await statusFor(await signToken(changes))).toBe(201);
  });

  it.each(["bearer", "BEARER", "Bearer", "bEaReR"])("with %s before it", async (scheme) => {
    const headers = { Authorization: `${scheme} ${await signToken()}` };
    expect((await send(BODY, { token: null, headers })).status).toBe(201);
  });
});

describe("a token that does not count", () => {
  it.each<[string, Claims]>([
    ["expired", { exp: now() - 1 }],
    ["expiring right now", { exp: now() }],
    ["without expiry", { exp: undefined }],
    ["not yet valid", { nbf: now() + 60 }],
    ["of another issuer", { iss: "https://uaa.example.org/oauth/token" }],
    ["of an issuer that begins alike", { iss: `${ISSUER}/` }],
    ["without issuer", { iss: undefined }],
    ["for another audience", { aud: ["openid", "cf"] }],
    ["without audience", { aud: undefined }],
    ["a refresh token", { jti: "b4ba1dd2f5d04e7fa3f0ee2b2e5cd1b5-r" }],
    ["without jti", { jti: undefined }],
    ["with a jti that is no text", { jti: 7 }],
    ["of nobody", { user_id: undefined, client_id: undefined }],
  ])("%s: 401", async (_, changes) => {
    expect(await statusFor(await signToken(changes))).toBe(401);
  });

  it("of an unknown kid: 401", async () => {
    expect(await statusFor(await signToken({}, { kid: "key-2" }))).toBe(401);
  });

  it("signed by another key under UAA's kid: 401", async () => {
    const { privateKey } = await generateKeyPair("RS256");
    expect(await statusFor(await signToken({}, {}, privateKey))).toBe(401);
  });

  it("signed by a key that the token itself names (jwk, jku): 401", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    const jwk = (await crypto.subtle.exportKey("jwk", publicKey)) as { kty: string };
    const header = { jwk, jku: "https://evil.example.com/keys", kid: "evil" };
    const outside = vi.spyOn(globalThis, "fetch");
    expect(await statusFor(await signToken({}, header, privateKey))).toBe(401);
    expect(outside.mock.calls.filter(([url]) => String(url).includes("evil"))).toEqual([]);
  });

  it("alg none: 401", async () => {
    const unsigned = new UnsecuredJWT(createClaims()).encode();
    expect(await statusFor(unsigned)).toBe(401);
    // With a kid of UAA's in its header too.
    const header = btoa(JSON.stringify({ alg: "none", kid: "key-1" })).replace(/=+$/, "");
    expect(await statusFor(unsigned.replace(/^[^.]*/, header))).toBe(401);
  });

  it("HMAC with UAA's public key as the secret: 401", async () => {
    const secret = new TextEncoder().encode(await publicKeyPem());
    expect(await statusFor(await signToken({}, { alg: "HS256" }, secret))).toBe(401);
  });

  it("signed right, but by an algorithm that is not pinned (PS256): 401", async () => {
    const key = await importJWK({ ...env.TEST_UAA_KEY, alg: "PS256" }, "PS256");
    expect(await statusFor(await signToken({}, { alg: "PS256" }, key as CryptoKey))).toBe(401);
  });

  it("changed after it was signed: 401", async () => {
    const [header, , signature] = (await signToken({ scope: [] })).split(".");
    const payload = btoa(JSON.stringify(createClaims()))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
    expect(await statusFor(`${header}.${payload}.${signature}`)).toBe(401);
  });

  it.each(["", "garbage", "a.b.c", "..", "eyJhbGciOiJSUzI1NiJ9.e30", "null.null.null"])(
    "garbage (%j): 401",
    async (token) => {
      expect((await send(BODY, { token: null, headers: { Authorization: `Bearer ${token}` } })).status).toBe(
        401,
      );
    },
  );

  it("is told by its reason in the log, and never shown there", async () => {
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

describe("a token that counts, but does not allow it: 403", () => {
  it.each<[string, Claims]>([
    ["no scope", { scope: undefined }],
    ["an empty scope", { scope: [] }],
    ["a scope that is text", { scope: "cloud_controller.write" }],
    ["read only", { scope: ["cloud_controller.read"] }],
    ["an admin who may only read", { scope: ["cloud_controller.admin_read_only"] }],
    ["a scope that begins alike", { scope: ["cloud_controller.writer"] }],
  ])("%s", async (_, changes) => {
    expect(await statusFor(await signToken(changes))).toBe(403);
  });
});
