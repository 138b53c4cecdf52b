import type { JWTPayload } from "jose";
import { decodeJwt } from "jose/jwt/decode";
import { ADMIN_SCOPE, CACHE_READ_SCOPES, PUSH_SCOPES } from "../../auth/scopes.ts";
import { formatDuration } from "../../format.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** The other checks may take this long. */
const LIFETIME_MIN_MS = 60_000;
const GET_TOKEN = 'export CF_TOKEN="$(cf oauth-token)"';

/** The claims of a JWT, not verified; undefined if the token is not a JWT. */
export function decodeClaims(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

/** Whether the token is allowed to request matches, as a push does. */
export function mayRequestMatches(claims: JWTPayload | undefined): boolean {
  return PUSH_SCOPES.some((scope) => scopesOf(claims).includes(scope));
}

/** @param now ms since the epoch, by the Worker's clock if it is known */
export function tokenFindings(claims: JWTPayload | undefined, now: number): Finding[] {
  if (!claims) {
    return [fail("token", `It is not a JWT, as UAA's access tokens are. Get a new one: ${GET_TOKEN}`)];
  }
  return [lifetimeFinding(claims, now), scopesFinding(scopesOf(claims))];
}

function scopesOf(claims: JWTPayload | undefined): unknown[] {
  return Array.isArray(claims?.scope) ? claims.scope : [];
}

/** @param now ms since the epoch */
export function lifetimeFinding(
  { jti, exp, iss, user_name: user, client_id: client }: JWTPayload,
  now: number,
): Finding {
  if (typeof jti === "string" && jti.endsWith("-r")) {
    return fail("token", `It is a refresh token. Only UAA accepts it. Get an access token: ${GET_TOKEN}`);
  }
  if (typeof exp !== "number") return fail("token", "It has no expiry time (exp), as UAA's tokens have.");
  const leftMs = exp * 1000 - now;
  if (leftMs <= 0)
    return fail("token", `It expired ${formatDuration(leftMs)} ago. Get a new one: ${GET_TOKEN}`);
  const facts = `Issued for ${user ?? client ?? "no user"} by ${iss ?? "no issuer"}, valid for ${formatDuration(leftMs)} more.`;
  return leftMs < LIFETIME_MIN_MS
    ? warn("token", `${facts} Get a new one: ${GET_TOKEN}`)
    : ok("token", facts);
}

function scopesFinding(scopes: readonly unknown[]): Finding {
  if (scopes.includes(ADMIN_SCOPE)) return ok("scopes", `${ADMIN_SCOPE}: it may change the cache.`);
  const reader = CACHE_READ_SCOPES.find((name) => scopes.includes(name));
  if (reader) return ok("scopes", `${reader}: it may read the cache, and not change it.`);
  return fail(
    "scopes",
    `It has none of ${CACHE_READ_SCOPES.join(", ")}. Log in as a user who has one of them.`,
  );
}
