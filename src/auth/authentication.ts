import { errors, type JWTPayload, jwtVerify } from "jose";
import type { Configuration } from "../configuration.ts";
import { Failure } from "../failure.ts";
import { causeOf } from "../log.ts";
import type { RequestContext } from "../request-context.ts";
import { KeysUnavailable, UAA_ALGORITHMS, UaaKeys } from "./uaa-keys.ts";

/** Whose token it is, and what it allows. */
export interface Caller {
  /** GUID of the user, or the id of a client that acts for itself. */
  id: string;
  scopes: ReadonlySet<string>;
}

const REFRESH_TOKEN_JTI_SUFFIX = "-r";

/** The keys live as long as the configuration that they belong to: as the env object, the isolate. */
const keysOf = new WeakMap<Configuration, UaaKeys>();

/**
 * The caller that the Authorization header proves: `Bearer` and a UAA access token, verified as a JWT
 * (RFC 7519) for signature, expiry, issuer and audience.
 */
export async function authenticate(request: Request, context: RequestContext): Promise<Caller | Failure> {
  const header = request.headers.get("Authorization");
  if (header === null) return new Failure("not-authenticated", "no Authorization header");
  const bearer = /^bearer(?:\s+(.*))?$/i.exec(header);
  if (!bearer) return new Failure("not-authenticated", "the Authorization header is not Bearer");

  try {
    return await verify(bearer[1] ?? "", context);
  } catch (error) {
    if (error instanceof KeysUnavailable) return new Failure("uaa-unavailable", error.message);
    if (error instanceof errors.JOSEError)
      return new Failure("invalid-token", `${error.code}: ${error.message}`);
    // A token can be anything: no caller gets a 5xx for what the library did not think of.
    context.log.error("token-not-understood", { cause: causeOf(error) });
    return new Failure("invalid-token", causeOf(error));
  }
}

async function verify(token: string, context: RequestContext): Promise<Caller | Failure> {
  const { configuration } = context;
  const { issuer, audience } = configuration.uaa;
  const { payload } = await jwtVerify(
    token,
    async (protectedHeader) => {
      const key = await uaaKeys(configuration).find(protectedHeader, context);
      if (!key) throw new errors.JWKSNoMatchingKey();
      return key;
    },
    { algorithms: UAA_ALGORITHMS, issuer, audience, requiredClaims: ["exp", "jti"] },
  );
  return callerOf(payload);
}

function uaaKeys(configuration: Configuration): UaaKeys {
  let keys = keysOf.get(configuration);
  if (!keys) {
    keys = new UaaKeys(configuration.uaa.url);
    keysOf.set(configuration, keys);
  }
  return keys;
}

function callerOf({ jti, user_id, client_id, scope }: JWTPayload): Caller | Failure {
  if (typeof jti !== "string" || jti === "") return new Failure("invalid-token", "jti is no text");
  if (jti.endsWith(REFRESH_TOKEN_JTI_SUFFIX)) return new Failure("invalid-token", "a refresh token");
  const id = user_id ?? client_id;
  if (typeof id !== "string" || id === "")
    return new Failure("invalid-token", "neither user_id nor client_id");
  const scopes = Array.isArray(scope) ? scope.filter((name) => typeof name === "string") : [];
  return { id, scopes: new Set(scopes) };
}
