import type { Command } from "commander";
import { Exit } from "../terminal/exit.ts";
import { redactUrl } from "../terminal/output.ts";

/** An API and the token for it. */
export interface Endpoint {
  /** Base URL of the API: `https://api.example.com`. */
  url: string;
  /** A bearer token, without "bearer". */
  token: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Hosts that did not respond in time. If it is set, they get no further request. */
  silentHosts?: Set<string>;
}

export interface EndpointOptions {
  url: string;
  token?: string;
  caFile?: string;
}

export function withEndpointOptions(command: Command): Command {
  return command
    .requiredOption("--url <url>", "the Worker's URL: `npm start` prints it")
    .option("--token <token>", "access token. Default: the variable CF_TOKEN")
    .option("--ca-file <path>", "PEM file of further certificate authorities");
}

/**
 * @param urlOption named in the error message
 * @throws Exit if an option is invalid
 */
export function endpointOf({ url, token }: EndpointOptions, urlOption = "--url"): Endpoint {
  return { url: parseBaseUrl(url, urlOption), token: parseToken(token) };
}

function parseBaseUrl(text: string, option: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || `${url.username}${url.password}${url.search}${url.hash}`) {
    throw new Exit(
      "usage",
      `${option} must be the base URL of the API, like https://api.example.com, not ${redactUrl(text)}`,
    );
  }
  // The URL of the endpoint itself is accepted too.
  return url.href.replace(/(?:\/v3\/resource_matches(?:\/cache)?)?\/*$/, "");
}

function parseToken(option: string | undefined): string {
  const token = (option ?? process.env.CF_TOKEN ?? "").trim().replace(/^bearer\s+/i, "");
  if (token === "") {
    throw new Exit(
      "usage",
      'There is no token. Set CF_TOKEN to the one that `npm start` prints, or: export CF_TOKEN="$(cf oauth-token)"',
    );
  }
  // An HTTP header takes no other characters.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new Exit(
      "usage",
      "The token has blanks or other characters that no token has. Set CF_TOKEN to one token.",
    );
  return token;
}
