import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { parseUrl, readBody, sendJson } from "../http.ts";
import { listenOnLoopback } from "../loopback.ts";
import { type Grant, grantToken, type Registry } from "./grants.ts";
import { createSigningKey, type SigningAlgorithm, type SigningKey } from "./signing-key.ts";
import { signToken, type TokenOptions } from "./token.ts";

export interface UaaOptions {
  /** Default: 0, a free port. */
  port?: number;
  /** Users and clients that get tokens. Default: the user `developer` and the client `ci`. */
  registry?: Registry;
  /** Default: RS256. A UAA without RSA keys signs with HS256, and publishes no key to anonymous callers. */
  signing?: SigningAlgorithm;
}

/** A simulated UAA (User Account and Authentication server). It creates its key at start. */
export interface Uaa {
  /** `http://localhost:<port>` */
  url: string;
  port: number;
  /** `<url>/oauth/token` */
  issuer: string;
  /** Issues an access token without an HTTP request. */
  issueToken(options?: TokenOptions): Promise<string>;
  /** Signs later tokens with a new key. Older keys stay published unless `withdraw` is set. */
  rotateKeys(options?: { withdraw?: boolean }): Promise<void>;
  /** The key that signs now. */
  signingKey(): SigningKey;
  close(): Promise<void>;
}

const DEFAULT_REGISTRY: Registry = {
  users: { developer: { password: "developer", id: "00000000-0000-4000-8000-000000000001" } },
  clients: { ci: { secret: "ci", scopes: ["cloud_controller.read", "cloud_controller.write"] } },
};

export async function startUaa({
  port = 0,
  registry = DEFAULT_REGISTRY,
  signing = "RS256",
}: UaaOptions = {}): Promise<Uaa> {
  let keys = [await createSigningKey(signing)];
  const signingKey = () => keys[0] as SigningKey;
  let issuer = "";
  const issueToken = (options: TokenOptions = {}) => signToken({ key: signingKey(), issuer }, options);

  const handlers: Record<string, (request: IncomingMessage, response: ServerResponse) => unknown> = {
    "GET /token_keys": (_, response) =>
      sendJson(response, 200, { keys: keys.flatMap(({ jwk }) => jwk ?? []) }),
    "GET /token_key": (_, response) => {
      const { jwk } = signingKey();
      if (jwk) sendJson(response, 200, jwk);
      else sendJson(response, 401, { error: "unauthorized" });
    },
    "GET /.well-known/openid-configuration": (_, response) => sendJson(response, 200, describeIssuer(issuer)),
    "GET /login": (_, response) => sendJson(response, 200, describeLogin(issuer)),
    "POST /oauth/token": async (request, response) => {
      const form = new URLSearchParams((await readBody(request)).toString());
      sendGrant(
        response,
        await grantToken({ form, authorization: request.headers.authorization, registry, issueToken }),
      );
    },
  };
  const listener: RequestListener = async (request, response) => {
    const handler = handlers[`${request.method} ${parseUrl(request).pathname}`];
    if (!handler) return sendJson(response, 404, { error: "not_found" });
    try {
      await handler(request, response);
    } catch (error) {
      response.destroy(error as Error);
    }
  };

  const server = await listenOnLoopback(listener, port);
  issuer = `${server.url}/oauth/token`;
  return {
    ...server,
    issuer,
    issueToken,
    signingKey,
    async rotateKeys({ withdraw = false } = {}) {
      keys = [await createSigningKey(signing), ...(withdraw ? [] : keys)];
    },
  };
}

/** The response to `GET /login` with `Accept: application/json`. There is no HTML page. */
function describeLogin(issuer: string) {
  const url = baseUrlOf(issuer);
  return {
    app: { version: "77.20.0" },
    links: { uaa: url, login: url },
    zone_name: "uaa",
    // The prompts of `cf login`: name of the credential, its input type and its label.
    prompts: { username: ["text", "Email"], password: ["password", "Password"] },
  };
}

function describeIssuer(issuer: string) {
  const url = baseUrlOf(issuer);
  return {
    issuer,
    authorization_endpoint: `${url}/oauth/authorize`,
    token_endpoint: issuer,
    jwks_uri: `${url}/token_keys`,
    id_token_signing_alg_values_supported: ["RS256"],
    response_types_supported: ["code", "id_token", "token"],
    subject_types_supported: ["public"],
  };
}

function baseUrlOf(issuer: string): string {
  return issuer.replace(/\/oauth\/token$/, "");
}

function sendGrant(response: ServerResponse, { status, body }: Grant): void {
  sendJson(response, status, body, { "Cache-Control": "no-store" });
}
