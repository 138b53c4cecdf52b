import { errors, type JWTPayload, jwtVerify } from "jose";
import { perConfiguration } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { causeOf } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { KeysUnavailable, UAA_ALGORITHMS, UaaKeys } from "./uaa-keys.ts";
import { VerifiedTokens } from "./verified-tokens.ts";

/** The owner of a token, and what the token allows. */
export interface Caller {
  /** GUID of the user, or id of a client that acts for itself. */
  id: string;
  scopes: ReadonlySet<string>;
}

const REFRESH_TOKEN_JTI_SUFFIX = "-r";

const cachesOf = perConfiguration(({ uaa }) => ({
  keys: new UaaKeys(uaa.url),
  tokens: new VerifiedTokens(),
}));

/**
 * The caller that the Authorization header proves: `Bearer` and a UAA access token, verified as a JWT
 * (RFC 7519) for signature, expiry, issuer and audience.
 */
export async function authenticate(request: Request, context: RequestContext): Promise<Caller | Failure> {
  const header = request.headers.get("Authorization");
  if (header === null) return new Failure({ kind: "not-authenticated", reason: "no Authorization header" });
  const bearer = /^bearer(?:\s+(.*))?$/i.exec(header);
  if (!bearer)
    return new Failure({ kind: "not-authenticated", reason: "the Authorization header is not Bearer" });

  try {
    return await verify(bearer[1] ?? "", context);
  } catch (error) {
    if (error instanceof KeysUnavailable)
      return new Failure({ kind: "uaa-unavailable", reason: error.message });
    if (error instanceof errors.JOSEError)
      return new Failure({ kind: "invalid-token", reason: `${error.code}: ${error.message}` });
    // A token can be anything: no caller gets a 5xx for what the library did not think of.
    context.log.error("token-unreadable", { cause: causeOf(error) });
    return new Failure({ kind: "invalid-token", reason: causeOf(error) });
  }
}

async function verify(token: string, context: RequestContext): Promise<Caller | Failure> {
  const { issuer, audience } = context.configuration.uaa;
  const { keys, tokens } = cachesOf(context.configuration);
  const known = tokens.recall(token, Date.now());
  // A key that UAA has withdrawn, or put another in the place of, verifies nothing any more.
  if (known && (await keys.find(known, context)) === known.key) return known.caller;

  const { payload, protectedHeader, key } = await jwtVerify(
    token,
    async (header) => {
      const found = await keys.find(header, context);
      if (!found) throw new errors.JWKSNoMatchingKey();
      return found;
    },
    { algorithms: UAA_ALGORITHMS, issuer, audience, requiredClaims: ["exp", "jti"] },
  );
  const caller = callerOf(payload);
  if (caller instanceof Failure) return caller;
  const { alg, kid } = protectedHeader;
  const expiresAt = (payload.exp as number) * 1000;
  tokens.remember(token, { caller, key: key as CryptoKey, alg, kid, expiresAt });
  return caller;
}

function callerOf({ jti, user_id, client_id, scope }: JWTPayload): Caller | Failure {
  if (typeof jti !== "string" || jti === "")
    return new Failure({ kind: "invalid-token", reason: "jti is no text" });
  if (jti.endsWith(REFRESH_TOKEN_JTI_SUFFIX))
    return new Failure({ kind: "invalid-token", reason: "a refresh token" });
  const id = user_id ?? client_id;
  if (typeof id !== "string" || id === "")
    return new Failure({ kind: "invalid-token", reason: "neither user_id nor client_id" });
  const scopes = Array.isArray(scope) ? scope.filter((name) => typeof name === "string") : [];
  return { id, scopes: new Set(scopes) };
}
