import { decodeJwt } from "jose";
import { DEFAULT_LIFETIME_SECONDS, DEVELOPER_SCOPES, type TokenOptions } from "./token.ts";

/** Users and clients that get tokens. */
export interface Registry {
  /** By name. */
  users: Record<string, { password: string; id: string; scopes?: string[] }>;
  /** By id. The client `cf` with an empty secret always exists. */
  clients: Record<string, { secret: string; scopes: string[] }>;
}

export interface Grant {
  status: number;
  body: Record<string, unknown>;
}

interface GrantRequest {
  form: URLSearchParams;
  authorization: string | undefined;
  registry: Registry;
  issueToken: (options: TokenOptions) => Promise<string>;
}

const REFRESH_LIFETIME_SECONDS = 2_592_000;

/** Responds to `POST /oauth/token` for the three grant types that cf CLI uses. */
export async function grantToken(request: GrantRequest): Promise<Grant> {
  const { form, authorization, registry } = request;
  const client = parseClient(form, authorization);
  const secret = client.id === "cf" ? "" : registry.clients[client.id]?.secret;
  if (secret === undefined || secret !== client.secret) return unauthorized("Bad client credentials");

  switch (form.get("grant_type")) {
    case "client_credentials": {
      const scopes = registry.clients[client.id]?.scopes ?? [];
      return issueTokens(request, { client: client.id, user: null, scopes });
    }
    case "password": {
      const name = form.get("username") ?? "";
      const user = registry.users[name];
      if (!user || user.password !== form.get("password")) return unauthorized("Bad credentials");
      return issueUserTokens(request, client.id, name);
    }
    case "refresh_token":
      return refreshTokens(request, client.id);
    default:
      return {
        status: 400,
        body: { error: "unsupported_grant_type", error_description: "Unsupported grant type" },
      };
  }
}

async function refreshTokens(request: GrantRequest, client: string): Promise<Grant> {
  try {
    // The signature is not verified: the local foundation protects nothing.
    const { jti, user_name: name } = decodeJwt(request.form.get("refresh_token") ?? "");
    if (jti?.endsWith("-r") && typeof name === "string" && request.registry.users[name]) {
      return issueUserTokens(request, client, name);
    }
  } catch {
    // It is no JWT.
  }
  return { status: 401, body: { error: "invalid_token", error_description: "The token is invalid" } };
}

function issueUserTokens(request: GrantRequest, client: string, name: string): Promise<Grant> {
  const { id = "", scopes = DEVELOPER_SCOPES } = request.registry.users[name] ?? {};
  return issueTokens(request, { client, user: { id, name }, scopes });
}

async function issueTokens(
  { issueToken }: GrantRequest,
  options: TokenOptions & { scopes: string[] },
): Promise<Grant> {
  const accessToken = await issueToken(options);
  const refresh = options.user && {
    refresh_token: await issueToken({ ...options, refresh: true, lifetime: REFRESH_LIFETIME_SECONDS }),
  };
  return {
    status: 200,
    body: {
      access_token: accessToken,
      token_type: "bearer",
      ...refresh,
      expires_in: DEFAULT_LIFETIME_SECONDS - 1,
      scope: options.scopes.join(" "),
      jti: decodeJwt(accessToken).jti,
    },
  };
}

/** `cf auth --client-credentials` sends the client in the form. Otherwise cf CLI sends the client `cf` as Basic. */
function parseClient(form: URLSearchParams, authorization = ""): { id: string; secret: string } {
  const basic = /^Basic (.+)$/i.exec(authorization)?.[1];
  if (basic === undefined) {
    return { id: form.get("client_id") ?? "", secret: form.get("client_secret") ?? "" };
  }
  const [, id = "", secret = ""] = /^([^:]*):?(.*)$/s.exec(Buffer.from(basic, "base64").toString()) ?? [];
  return { id: decodeURIComponent(id), secret: decodeURIComponent(secret) };
}

function unauthorized(description: string): Grant {
  return { status: 401, body: { error: "unauthorized", error_description: description } };
}
