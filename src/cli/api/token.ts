import type { JWTPayload } from "jose";
import { decodeJwt } from "jose/jwt/decode";
import { formatDuration } from "../../format.ts";
import { isLoopback } from "../../http/loopback.ts";

const GET_TOKEN = '`export CF_TOKEN="$(cf oauth-token)"`.';
const LOG_IN = `Log in to the right one: \`cf api <url>\`, \`cf login\`. Then: ${GET_TOKEN}`;
const COPY_TOKEN = "Copy the line `export CF_TOKEN=…` that the running `npm start` has printed.";

/** The claims of a token, not verified. */
export type InspectedToken =
  | { claims: JWTPayload; problem?: undefined }
  /** `problem`: why every server refuses the token, and what to do. */
  | { claims: JWTPayload | undefined; problem: string };

/** @param now ms since the epoch */
export function inspectToken(token: string, now: number): InspectedToken {
  const claims = decodeClaims(token);
  if (!claims) {
    return {
      claims,
      problem: `The token is not a JWT, as UAA's access tokens are. ${renewalAdvice(claims)}`,
    };
  }
  const problem = problemOf(claims, now);
  return problem === undefined ? { claims } : { claims, problem };
}

function decodeClaims(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

function problemOf(claims: JWTPayload, now: number): string | undefined {
  const { jti, exp } = claims;
  if (typeof jti === "string" && jti.endsWith("-r")) {
    return `The token is a refresh token. Only UAA accepts it. Get an access token: ${GET_TOKEN}`;
  }
  if (typeof exp !== "number") return "The token has no expiry time (exp), as UAA's tokens have.";
  const leftMs = exp * 1000 - now;
  return leftMs > 0 ? undefined : `The token expired ${formatDuration(leftMs)} ago. ${renewalAdvice(claims)}`;
}

/** `Issued for admin by https://uaa.example.com/oauth/token, valid for 9 min more.` */
export function tokenFacts(
  { exp, iss, user_name: user, client_id: client }: JWTPayload,
  now: number,
): string {
  const left = formatDuration(Number(exp) * 1000 - now);
  return `Issued for ${user ?? client ?? "no user"} by ${iss ?? "no issuer"}, valid for ${left} more.`;
}

/** How to get a new token. */
export function renewalAdvice(claims: JWTPayload | undefined): string {
  return isLocal(claims?.iss) ? COPY_TOKEN : `Get a new one: ${GET_TOKEN}`;
}

/**
 * Why a server has refused a token, and what to do first.
 *
 * @param url of the server
 * @param now ms since the epoch
 */
export function refusalAdvice(token: string, url: string, now: number): string {
  const { claims, problem } = inspectToken(token, now);
  const { host } = new URL(url);
  const isLocalServer = isLocal(url);
  if (isLocal(claims?.iss)) {
    if (problem !== undefined) return problem;
    const found = `The token is from a UAA on this machine (${claims?.iss}), like that of \`npm start\`.`;
    return isLocalServer
      ? `${found} Each start signs with a new key, so the token of an earlier start is refused. ${COPY_TOKEN}`
      : `${found} ${host} belongs to another foundation. ${LOG_IN}`;
  }
  const local = isLocalServer ? ` If ${host} is the Worker of \`npm start\`: ${lowerFirst(COPY_TOKEN)}` : "";
  if (problem !== undefined) return `${problem}${local}`;
  return (
    `The token has not expired: ${lowerFirst(tokenFacts(claims, now))} Is that the UAA of the foundation of ${host}? If not, ` +
    `you are logged in to another foundation (\`cf target\` shows which). ${LOG_IN}${local}`
  );
}

/** Whether a URL leads to this machine, as the issuer of the tokens of `npm start` does. */
function isLocal(url: string | undefined): boolean {
  return url !== undefined && URL.canParse(url) && isLoopback(new URL(url).hostname);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
