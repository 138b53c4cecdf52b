import type { Command } from "commander";
import { Exit } from "../terminal/exit.ts";
import { redacted } from "../terminal/redacted.ts";

/** Where to ask, and with which token. */
export interface Endpoint {
  /** The API's base: `https://api.example.com`. */
  url: string;
  /** A bearer token, without "bearer". */
  token: string;
}

export interface EndpointOptions {
  url: string;
  token?: string;
}

/** The options that say which running Worker a subcommand asks, and as whom. */
export function withEndpointOptions(command: Command): Command {
  return command
    .optionsGroup("Which Worker, and as whom:")
    .requiredOption("--url <url>", "the API's base: http://localhost:8787, https://api.example.com")
    .option(
      "--token <token>",
      'as `cf oauth-token` prints it, with "bearer" in front or without; better in the environment variable ' +
        "CF_TOKEN, which other users of the machine don't see in its list of processes",
    );
}

/** @throws Exit that tells which option is wrong */
export function endpointOf({ url, token }: EndpointOptions): Endpoint {
  return { url: baseUrl(url, "--url"), token: bearerToken(token) };
}

/** @param option which the text was given for, to be named where it is wrong */
export function baseUrl(text: string, option: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || `${url.username}${url.password}${url.search}${url.hash}`) {
    throw new Exit(
      "wrong-usage",
      `${option} must be the API's base, like https://api.example.com, not ${redacted(text)}`,
    );
  }
  // The endpoint's own address means the same.
  return url.href.replace(/(?:\/v3\/resource_matches(?:\/cache)?)?\/*$/, "");
}

function bearerToken(option: string | undefined): string {
  const token = (option ?? process.env.CF_TOKEN ?? "").trim().replace(/^bearer\s+/i, "");
  if (token === "") {
    throw new Exit(
      "wrong-usage",
      'There is no token: export CF_TOKEN="$(cf oauth-token)", or the one that `npm start` prints, or give --token.',
    );
  }
  // Anything else could not be sent in a header.
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Exit("wrong-usage", "The token is not one word.");
  return token;
}
