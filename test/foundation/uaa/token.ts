import { randomBytes } from "node:crypto";
import { type JWTPayload, SignJWT } from "jose";
import type { SigningKey } from "./signing-key.ts";

export interface TokenOptions {
  /** Default: those of a space developer. */
  scopes?: readonly string[];
  /** Default: the user `developer`. Null: a client without a user. */
  user?: { id: string; name: string } | null;
  /** Default `cf`. */
  client?: string;
  grantType?: string;
  /** Seconds from now. A negative number makes an expired token. Default: 600. */
  lifetime?: number;
  issuer?: string;
  audience?: readonly string[];
  /** Override all other claims. Undefined removes a claim. */
  claims?: JWTPayload;
  /** Makes a refresh token, which only the UAA accepts. */
  refresh?: boolean;
}

export const DEVELOPER_SCOPES = ["openid", "uaa.user", "cloud_controller.read", "cloud_controller.write"];
const DEVELOPER = { id: "00000000-0000-4000-8000-000000000001", name: "developer" };
export const DEFAULT_LIFETIME_SECONDS = 600;

/** Signs a token with the header and the claims of UAA. */
export function signToken(
  signer: { key: SigningKey; issuer: string },
  {
    scopes = DEVELOPER_SCOPES,
    user = DEVELOPER,
    client = "cf",
    grantType = user ? "password" : "client_credentials",
    lifetime = DEFAULT_LIFETIME_SECONDS,
    issuer = signer.issuer,
    audience = audienceOf(client, scopes),
    claims = {},
    refresh = false,
  }: TokenOptions,
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const payload = {
    jti: randomBytes(16).toString("hex") + (refresh ? "-r" : ""),
    sub: user?.id ?? client,
    ...(user ? {} : { authorities: scopes }),
    scope: scopes,
    client_id: client,
    cid: client,
    azp: client,
    grant_type: grantType,
    ...(user
      ? { user_id: user.id, origin: "uaa", user_name: user.name, email: user.name, auth_time: now }
      : {}),
    rev_sig: randomBytes(4).toString("hex"),
    iat: now,
    exp: now + lifetime,
    iss: issuer,
    zid: "uaa",
    aud: audience,
    ...claims,
  };
  const jku = `${new URL(signer.issuer).origin}/token_keys`;
  return new SignJWT(payload as unknown as JWTPayload)
    .setProtectedHeader({ alg: signer.key.algorithm, jku, kid: signer.key.kid, typ: "JWT" })
    .sign(signer.key.privateKey);
}

/** Like UAA: the client, and the part of each scope before its last dot. */
function audienceOf(client: string, scopes: readonly string[]): string[] {
  const resources = scopes
    .filter((scope) => scope.includes("."))
    .map((scope) => scope.replace(/\.[^.]*$/, ""));
  return [...new Set([client, ...resources, ...scopes.filter((scope) => scope === "openid")])];
}
