import { createLocalJWKSet, createRemoteJWKSet, decodeProtectedHeader, importSPKI, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startUaa, type Uaa } from "./uaa.ts";

let uaa: Uaa;

beforeAll(async () => {
  uaa = await startUaa();
});
afterAll(() => uaa.close());

// biome-ignore lint/suspicious/noExplicitAny: the tests check the type
const getJson = async (url: string): Promise<any> => (await fetch(url)).json();

interface Token {
  access_token: string;
  refresh_token: string;
}

const verify = async (token: string) => {
  const jwks = await getJson(`${uaa.url}/token_keys`);
  return jwtVerify(token, createLocalJWKSet(jwks), { issuer: uaa.issuer, audience: "cloud_controller" });
};

const requestToken = (form: Record<string, string>, authorization?: string) =>
  fetch(`${uaa.url}/oauth/token`, {
    method: "POST",
    body: new URLSearchParams(form),
    headers: authorization ? { Authorization: authorization } : {},
  }).then(async (response) => ({
    status: response.status,
    body: (await response.json()) as Token,
  }));

const CF_CLIENT = `Basic ${Buffer.from("cf:").toString("base64")}`;
const DEVELOPER = { grant_type: "password", username: "developer", password: "developer" };

describe("issueToken", () => {
  it("issues a token with the claims of UAA", async () => {
    const { payload } = await verify(await uaa.issueToken());
    expect(payload).toMatchObject({
      jti: expect.stringMatching(/^[0-9a-f]{32}$/),
      scope: expect.arrayContaining(["cloud_controller.write"]),
      client_id: "cf",
      cid: "cf",
      azp: "cf",
      grant_type: "password",
      user_id: payload.sub,
      origin: "uaa",
      user_name: "developer",
      iss: `${uaa.url}/oauth/token`,
      zid: "uaa",
    });
  });

  it("issues a token with the given scopes, client, lifetime and claims", async () => {
    const options = {
      scopes: ["cloud_controller.admin"],
      user: null,
      client: "ci",
      lifetime: 5,
      claims: { zid: "z" },
    };
    const { payload } = await verify(await uaa.issueToken(options));
    expect(payload).toMatchObject({
      scope: ["cloud_controller.admin"],
      sub: "ci",
      client_id: "ci",
      zid: "z",
    });
    expect(payload.user_id).toBeUndefined();
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(5);
  });

  it.each([
    [{ lifetime: -1 }, /"exp"/],
    [{ issuer: "https://elsewhere.example.com/oauth/token" }, /"iss"/],
    [{ audience: ["other"] }, /"aud"/],
  ])("issues a token that fails verification with %j", async (options, message) => {
    await expect(verify(await uaa.issueToken(options))).rejects.toThrow(message);
  });
});

it("returns the prompts of cf login", async () => {
  const response = await fetch(`${uaa.url}/login`, { headers: { Accept: "application/json" } });
  expect(await response.json()).toMatchObject({
    app: { version: expect.any(String) },
    links: { uaa: uaa.url, login: uaa.url },
    prompts: { username: ["text", "Email"], password: ["password", "Password"] },
  });
});

describe("POST /oauth/token", () => {
  it("issues tokens for a user's password, and later for the refresh token", async () => {
    const { status, body } = await requestToken(DEVELOPER, CF_CLIENT);
    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: "bearer", expires_in: 599 });
    await verify(body.access_token);

    const refresh = { grant_type: "refresh_token", refresh_token: body.refresh_token };
    const refreshed = await requestToken(refresh, CF_CLIENT);
    expect((await verify(refreshed.body.access_token)).payload.user_name).toBe("developer");
  });

  it("issues a token without a refresh token for client credentials", async () => {
    const { body } = await requestToken({
      grant_type: "client_credentials",
      client_id: "ci",
      client_secret: "ci",
    });
    expect((await verify(body.access_token)).payload).toMatchObject({
      grant_type: "client_credentials",
      cid: "ci",
    });
    expect(body.refresh_token).toBeUndefined();
  });

  it.each([
    [{ ...DEVELOPER, password: "wrong" }, CF_CLIENT, 401],
    [{ grant_type: "client_credentials", client_id: "ci", client_secret: "wrong" }, undefined, 401],
    [{ grant_type: "refresh_token", refresh_token: "wrong" }, CF_CLIENT, 401],
    [{ grant_type: "implicit" }, CF_CLIENT, 400],
  ])("returns an error for %j", async (form, authorization, status) => {
    expect(await requestToken(form, authorization)).toMatchObject({
      status,
      body: { error: expect.any(String) },
    });
  });
});

describe("signing keys", () => {
  it("publishes the signing keys as JWK and PEM at the URL of the OpenID configuration", async () => {
    const configuration = await getJson(`${uaa.url}/.well-known/openid-configuration`);
    expect(configuration).toMatchObject({ issuer: uaa.issuer, jwks_uri: `${uaa.url}/token_keys` });
    const { keys } = await getJson(configuration.jwks_uri);
    expect(keys).toEqual([
      expect.objectContaining({ kty: "RSA", use: "sig", alg: "RS256", kid: uaa.signingKey().kid }),
    ]);
    await jwtVerify(await uaa.issueToken(), await importSPKI(keys[0].value, "RS256"));
  });

  it("publishes signing keys after a rotation until they are withdrawn", async () => {
    const keys = createRemoteJWKSet(new URL(`${uaa.url}/token_keys`), { cooldownDuration: 0 });
    const old = await uaa.issueToken();
    await uaa.rotateKeys();
    const current = await uaa.issueToken();
    expect(decodeProtectedHeader(current).kid).not.toBe(decodeProtectedHeader(old).kid);
    await jwtVerify(old, keys);
    await jwtVerify(current, keys);
    await uaa.rotateKeys({ withdraw: true });
    await expect(verify(current)).rejects.toThrow("no applicable key found");
  });
});

it("signs with HS256 if it has only a shared secret, and publishes no key", async () => {
  const symmetric = await startUaa({ signing: "HS256" });
  const token = await symmetric.issueToken();
  expect(decodeProtectedHeader(token)).toMatchObject({ alg: "HS256", kid: symmetric.signingKey().kid });
  const { issuer } = symmetric;
  await jwtVerify(token, symmetric.signingKey().publicKey, { issuer, audience: "cloud_controller" });
  expect(await getJson(`${symmetric.url}/token_keys`)).toEqual({ keys: [] });
  expect((await fetch(`${symmetric.url}/token_key`)).status).toBe(401);
  await symmetric.close();
});
