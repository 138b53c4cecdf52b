import type { IncomingMessage } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";
import type { Uaa } from "../uaa/uaa.ts";
import { ApiError } from "./api-error.ts";

const READ = ["cloud_controller.read", "cloud_controller.admin"];
const WRITE = ["cloud_controller.write", "cloud_controller.admin"];

/**
 * Creates a function that throws an ApiError if a request has no valid token of `uaa`, or lacks the scope that its method
 * needs.
 */
export function createAuthenticator(
  uaa: Pick<Uaa, "url" | "issuer" | "signingKey">,
): (request: IncomingMessage) => Promise<void> {
  const { algorithm } = uaa.signingKey();
  // Without a cooldown, because tests rotate keys in quick succession.
  const published = createRemoteJWKSet(new URL(`${uaa.url}/token_keys`), { cooldownDuration: 0 });
  // The real one has the shared secret in its configuration: `symmetric_secret`.
  const keys = algorithm === "HS256" ? () => uaa.signingKey().publicKey : published;
  return async ({ headers: { authorization }, method }) => {
    const token = /^bearer (.+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) throw new ApiError("not-authenticated", "Authentication error");
    const options = { issuer: uaa.issuer, audience: "cloud_controller", algorithms: [algorithm] };
    const verified = await jwtVerify(token, keys, options).catch(() => undefined);
    if (!verified || String(verified.payload.jti).endsWith("-r")) {
      throw new ApiError("invalid-token", "Invalid Auth Token");
    }
    const scopes = Array.isArray(verified.payload.scope) ? verified.payload.scope : [];
    if (!(method === "GET" ? READ : WRITE).some((scope) => scopes.includes(scope))) {
      throw new ApiError("not-authorized", "You are not authorized to perform the requested action");
    }
  };
}
