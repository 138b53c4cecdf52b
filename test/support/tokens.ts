import { env } from "cloudflare:workers";
import { base64url, type CryptoKey, importJWK, type JWTHeaderParameters, SignJWT } from "jose";

export const ISSUER = `${env.UAA_URL}/oauth/token`;

/** Claims by name. A claim that is undefined is omitted. */
export type Claims = Record<string, unknown>;

/** The claims of UAA for a user who may push. Each call creates a new user. */
export function createClaims(changes: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1000);
  const user = crypto.randomUUID();
  return {
    jti: "b4ba1dd2f5d04e7fa3f0ee2b2e5cd1b5",
    sub: user,
    user_id: user,
    user_name: "developer",
    client_id: "cf",
    cid: "cf",
    scope: ["openid", "cloud_controller.read", "cloud_controller.write"],
    iss: ISSUER,
    aud: ["cloud_controller", "openid", "cf"],
    iat: now,
    exp: now + 600,
    ...changes,
  };
}

/** Signs a token, by default with UAA's key. */
export async function signToken(
  changes: Claims = {},
  header: Partial<JWTHeaderParameters> = {},
  key?: CryptoKey | Uint8Array,
): Promise<string> {
  const payload = JSON.parse(JSON.stringify(createClaims(changes)));
  return new SignJWT(payload)
    .setProtectedHeader({ alg: "RS256", kid: "key-1", typ: "JWT", ...header })
    .sign(key ?? (await importJWK(env.TEST_UAA_KEY, "RS256")));
}

const PKCS1 = "RSASSA-PKCS1-v1_5";

/**
 * Signs a token with any header and payload, even invalid ones that a library would refuse.
 *
 * @param key an RSA key; by default UAA's, for SHA-256
 */
export async function signRawToken(header: unknown, payload: unknown, key?: CryptoKey): Promise<string> {
  const part = (value: unknown) =>
    base64url.encode(typeof value === "string" ? value : JSON.stringify(value));
  const signed = `${part(header)}.${part(payload)}`;
  const signer = key ?? ((await importJWK(env.TEST_UAA_KEY, "RS256")) as CryptoKey);
  const signature = await crypto.subtle.sign(PKCS1, signer as never, new TextEncoder().encode(signed));
  return `${signed}.${base64url.encode(new Uint8Array(signature))}`;
}

/** Generates a pair of RSA keys for RS256. @param modulusLength bits */
export async function generateRsaKeys(modulusLength: number): Promise<CryptoKeyPair> {
  const publicExponent = new Uint8Array([1, 0, 1]);
  const algorithm = { name: PKCS1, hash: "SHA-256", modulusLength, publicExponent };
  return (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
}
