import { env } from "cloudflare:workers";
import { type CryptoKey, importJWK, type JWTHeaderParameters, SignJWT } from "jose";

export const ISSUER = `${env.UAA_URL}/oauth/token`;

/** Claims by name; one that is undefined is left out of the token. */
export type Claims = Record<string, unknown>;

/** Claims as UAA makes them for a user who may push: another one each time, who has asked for nothing yet. */
export function claims(changes: Claims = {}): Claims {
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

/** A token, by default signed with UAA's own key. */
export async function signedToken(
  changes: Claims = {},
  header: Partial<JWTHeaderParameters> = {},
  key?: CryptoKey | Uint8Array,
): Promise<string> {
  const payload = JSON.parse(JSON.stringify(claims(changes)));
  return new SignJWT(payload)
    .setProtectedHeader({ alg: "RS256", kid: "key-1", typ: "JWT", ...header })
    .sign(key ?? (await importJWK(env.TEST_UAA_KEY, "RS256")));
}
