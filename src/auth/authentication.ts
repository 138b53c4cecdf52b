import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTHeaderParameters,
  type JWTPayload,
  jwtVerify,
} from "jose";
import { perConfiguration } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { keepNewest } from "../keep-newest.ts";
import { causeOf } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { KeysUnavailable, UAA_ALGORITHMS, type UaaKey, UaaKeys } from "./uaa-keys.ts";

/** The owner of a token, and its scopes. */
export interface Caller {
  /** GUID of the user, or id of a client that acts for itself. */
  id: string;
  scopes: ReadonlySet<string>;
}

interface VerifiedToken {
  caller: Caller;
  /** The key that verified it. If UAA replaces the key, the token is verified again. */
  key: CryptoKey;
  header: JWTHeaderParameters;
  /** ms since the epoch. */
  expiresAt: number;
}

const REFRESH_TOKEN_JTI_SUFFIX = "-r";

/** Algorithms of RFC 7518 and RFC 8037 that sign. A foundation may use one that the Worker does not accept. */
const SIGNATURE_ALGORITHM = /^([EHPR]S(256|384|512)|EdDSA)$/;

/** More than the pushes that one isolate serves at a time. A token of UAA has about 1.5 KB. */
const VERIFIED_TOKENS_MAX = 100;

const uaaKeysOf = perConfiguration(({ uaa }) => new UaaKeys(uaa.url));

/** Verified tokens by their text, so that the requests of a push verify its token once. The oldest is dropped first. */
const verifiedTokensOf = perConfiguration(() => new Map<string, VerifiedToken>());

/**
 * Authenticates a caller by `Authorization: Bearer` with a UAA access token: a JWT (RFC 7519), verified for signature,
 * expiry, issuer and audience.
 */
export async function authenticate(request: Request, context: RequestContext): Promise<Caller | Failure> {
  const header = request.headers.get("Authorization");
  if (header === null) return new Failure({ kind: "not-authenticated", reason: "no Authorization header" });
  const bearer = /^bearer(?:\s+(.*))?$/i.exec(header);
  if (!bearer) {
    return new Failure({ kind: "not-authenticated", reason: "the Authorization header is not Bearer" });
  }

  const [, token = ""] = bearer;
  try {
    return await verifyToken(token, context);
  } catch (error) {
    if (error instanceof KeysUnavailable) {
      return new Failure({ kind: "uaa-unavailable", reason: error.message });
    }
    const isDeclared = error instanceof errors.JOSEError;
    // A token can have any content: an exception that the library does not declare must not become a 5xx.
    if (!isDeclared) context.log.error("token-unreadable", { cause: causeOf(error) });
    const isUnclear = !isDeclared || isUnverifiable(error);
    const kind = isUnclear && mayBeValid(token) ? "unverifiable-token" : "invalid-token";
    return new Failure({ kind, reason: isDeclared ? `${error.code}: ${error.message}` : causeOf(error) });
  }
}

async function verifyToken(token: string, context: RequestContext): Promise<Caller | Failure> {
  const { issuer, audience } = context.configuration.uaa;
  const keys = uaaKeysOf(context.configuration);
  const tokens = verifiedTokensOf(context.configuration);
  const known = tokens.get(token);
  if (known && Date.now() < known.expiresAt) {
    const current = await keys.find(known.header, context);
    if (current.some(({ key }) => key === known.key)) return known.caller;
  }

  const { payload, protectedHeader, key } = await verifySignature(token, keys, { issuer, audience }, context);
  const caller = callerOf(payload);
  if (caller instanceof Failure) return caller;
  const expiresAt = (payload.exp as number) * 1000;
  const verified = { caller, key: key as CryptoKey, header: protectedHeader, expiresAt };
  keepNewest(tokens, token, verified, VERIFIED_TOKENS_MAX);
  return caller;
}

/**
 * Verifies a token with the key that its header names. Without such a key, as the Cloud Controller does, with one after the other.
 *
 * @throws JWKSNoMatchingKey if no key verifies it and it names none of them: UAA may have a newer one
 */
async function verifySignature(
  token: string,
  keys: UaaKeys,
  expected: { issuer: string; audience: string },
  context: RequestContext,
) {
  const options = { ...expected, algorithms: UAA_ALGORITHMS, requiredClaims: ["exp", "jti"] };
  for (let index = 0; ; index++) {
    let candidate: UaaKey | undefined;
    let isNamed = false;
    const selectKey = async (header: JWTHeaderParameters) => {
      candidate = (await keys.find(header, context))[index];
      if (!candidate) throw new errors.JWKSNoMatchingKey();
      isNamed = header.kid !== undefined && candidate.kid === header.kid;
      return candidate.key;
    };
    try {
      return await jwtVerify(token, selectKey, options);
    } catch (error) {
      const mayHaveOtherKey = error instanceof errors.JWSSignatureVerificationFailed && !isNamed;
      if (!mayHaveOtherKey) throw error;
    }
  }
}

function callerOf({ jti, user_id, client_id, scope }: JWTPayload): Caller | Failure {
  if (typeof jti !== "string" || jti === "") return invalidToken("jti is not a text");
  if (jti.endsWith(REFRESH_TOKEN_JTI_SUFFIX)) return invalidToken("a refresh token");
  const id = user_id ?? client_id;
  if (typeof id !== "string" || id === "") return invalidToken("neither user_id nor client_id");
  const scopes = Array.isArray(scope) ? scope.filter((name) => typeof name === "string") : [];
  return { id, scopes: new Set(scopes) };
}

/** Whether the key, algorithm, issuer or audience is not one that the Worker knows: the foundation may have others. */
function isUnverifiable(error: errors.JOSEError): boolean {
  if (error instanceof errors.JWTClaimValidationFailed) return error.claim === "iss" || error.claim === "aud";
  return error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JOSEAlgNotAllowed;
}

/** Whether a token that is not verified is well-formed, has a signature and has not expired. */
function mayBeValid(token: string): boolean {
  try {
    const { alg = "" } = decodeProtectedHeader(token);
    const { exp = 0 } = decodeJwt(token);
    return SIGNATURE_ALGORITHM.test(alg) && exp * 1000 > Date.now();
  } catch {
    return false;
  }
}

function invalidToken(reason: string): Failure {
  return new Failure({ kind: "invalid-token", reason });
}
