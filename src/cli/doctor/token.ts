import { ADMIN_SCOPE, CACHE_READ_SCOPES, PUSH_SCOPES } from "../../auth/scopes.ts";
import { formatDuration } from "../../format.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** What the rest of the checks may take. */
const LIFETIME_MIN_MS = 60_000;
const NEW_ONE = 'export CF_TOKEN="$(cf oauth-token)"';

/** What a token says of itself; nothing of it is verified here. */
export type Claims = Record<string, unknown>;

/** The claims of a JWT; undefined for what is none. */
export function claimsOf(token: string): Claims | undefined {
  const [header, payload, signature, ...more] = token.split(".");
  if (!header || !payload || !signature || more.length > 0) return undefined;
  try {
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    return typeof claims === "object" && claims !== null && !Array.isArray(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}

export function scopesOf({ scope }: Claims): string[] {
  return Array.isArray(scope) ? scope.filter((name) => typeof name === "string") : [];
}

/** Whether a push may be asked for with it. */
export function maySend(claims: Claims | undefined): boolean {
  const scopes = claims ? scopesOf(claims) : [];
  return PUSH_SCOPES.some((scope) => scopes.includes(scope));
}

/** @param now ms since the epoch, by the Worker's clock where it is known */
export function tokenFindings(token: string, now: number): Finding[] {
  const claims = claimsOf(token);
  if (!claims) {
    return [fail("token", `It is no JWT, as UAA's access tokens are: ${NEW_ONE}`)];
  }
  return [lifetimeFinding(claims, now), scopesFinding(scopesOf(claims))];
}

/** @param now ms since the epoch */
export function lifetimeFinding(
  { jti, exp, iss, user_name: user, client_id: client }: Claims,
  now: number,
): Finding {
  if (typeof jti === "string" && jti.endsWith("-r")) {
    return fail(
      "token",
      `It is a refresh token, which only UAA takes; the access token is another: ${NEW_ONE}`,
    );
  }
  if (typeof exp !== "number") return fail("token", "It does not tell when it expires, as UAA's do (exp).");
  const left = exp * 1000 - now;
  if (left <= 0) return fail("token", `It has expired ${formatDuration(left)} ago: ${NEW_ONE}`);
  const told = `${user ?? client ?? "Somebody"}'s, of ${iss ?? "nobody"}, valid for ${formatDuration(left)} more`;
  return left < LIFETIME_MIN_MS ? warn("token", `${told}: ${NEW_ONE}`) : ok("token", `${told}.`);
}

function scopesFinding(scopes: readonly string[]): Finding {
  if (scopes.includes(ADMIN_SCOPE)) return ok("scopes", `${ADMIN_SCOPE}: it may change the cache.`);
  const reader = CACHE_READ_SCOPES.find((name) => scopes.includes(name));
  if (reader) return ok("scopes", `${reader}: it may see the cache, and not change it.`);
  return fail("scopes", `None of ${CACHE_READ_SCOPES.join(", ")}: log in as one who has.`);
}
