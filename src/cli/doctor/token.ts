import type { JWTPayload } from "jose";
import { ADMIN_SCOPE, CACHE_READ_SCOPES, PUSH_SCOPES } from "../../auth/scopes.ts";
import { type InspectedToken, renewalAdvice, tokenFacts } from "../api/token.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** The other checks may take this long. */
const LIFETIME_MIN_MS = 60_000;

/** Whether the token is allowed to request matches, as a push does. */
export function mayRequestMatches(claims: JWTPayload | undefined): boolean {
  return PUSH_SCOPES.some((scope) => scopesOf(claims).includes(scope));
}

/** @param now ms since the epoch, by the Worker's clock if it is known */
export function tokenFindings({ claims, problem }: InspectedToken, now: number): Finding[] {
  const first = problem === undefined ? lifetimeFinding(claims, now) : fail("token", problem);
  return claims ? [first, scopesFinding(scopesOf(claims))] : [first];
}

function scopesOf(claims: JWTPayload | undefined): unknown[] {
  return Array.isArray(claims?.scope) ? claims.scope : [];
}

/** @param now ms since the epoch */
function lifetimeFinding(claims: JWTPayload, now: number): Finding {
  const facts = tokenFacts(claims, now);
  return Number(claims.exp) * 1000 - now < LIFETIME_MIN_MS
    ? warn("token", `${facts} ${renewalAdvice(claims)}`)
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
