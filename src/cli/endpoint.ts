import { Exit, reasonOf } from "./exit.ts";
import { note } from "./output.ts";

/** Longer than the platforms' own time-outs, which tell more. */
const TIMEOUT_MS = 180_000;

/** A resource as `POST /v3/resource_matches` takes it. */
export interface ApiResource {
  checksum: { value: string };
  size_in_bytes: number;
  path: string;
  /** Octal, without a leading zero. */
  mode: string;
}

export interface Endpoint {
  /** The API's base: `https://api.example.com`. */
  url: string;
  /** A bearer token, without "bearer". */
  token: string;
}

/**
 * Asks a running endpoint, once.
 *
 * @returns the checksums that it matches
 * @throws Exit that tells what went wrong
 */
export async function matchedChecksums(
  { url, token }: Endpoint,
  resources: readonly ApiResource[],
): Promise<string[]> {
  const target = `${url}/v3/resource_matches`;
  let response: Response;
  let body: string;
  try {
    response = await fetch(target, {
      method: "POST",
      headers: { Authorization: `bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ resources }),
      // The token is for this host only.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    body = await response.text();
  } catch (error) {
    throw new Exit("failed", `No answer from ${target}: ${reasonOf(error)}`);
  }

  for (const warning of warningsOf(response.headers)) note(`Warning from the endpoint: ${warning}`);
  if (response.status !== 201) throw new Exit("failed", failure(target, response, body));
  const checksums = checksumsOf(body);
  if (!checksums) throw new Exit("failed", `${target} answered 201, but not with a list of resources.`);
  return checksums;
}

/** The header holds warnings that are percent-encoded, with commas between them. */
function warningsOf(headers: Headers): string[] {
  const warnings = headers.get("X-Cf-Warnings");
  return warnings === null ? [] : warnings.split(",").map((warning) => decoded(warning.trim()));
}

function decoded(warning: string): string {
  try {
    return decodeURIComponent(warning.replaceAll("+", " "));
  } catch {
    return warning;
  }
}

function failure(target: string, response: Response, body: string): string {
  const lines = [`${target} answered ${response.status}${detailOf(body)}`];
  if (response.status === 401) {
    lines.push(
      'A token is valid for some minutes; `cf oauth-token` prints a new one: CF_TOKEN="$(cf oauth-token)"',
    );
  }
  const location = response.headers.get("Location");
  if (location !== null) lines.push(`It points to ${location}: is --url the API's address?`);
  return lines.join("\n");
}

/** What Cloud Foundry's error envelope says, or the beginning of what came instead. */
function detailOf(body: string): string {
  const { errors } = parsed(body) ?? {};
  if (!Array.isArray(errors)) return body.trim() === "" ? "." : `: ${body.trim().slice(0, 200)}`;
  return `: ${errors.map((error) => `${error?.detail} (${error?.title}, ${error?.code})`).join("; ")}`;
}

function checksumsOf(body: string): string[] | undefined {
  const { resources } = parsed(body) ?? {};
  if (!Array.isArray(resources)) return undefined;
  const checksums = resources.map((resource) => resource?.checksum?.value);
  return checksums.every((checksum) => typeof checksum === "string") ? checksums : undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire can be anything; each use checks.
function parsed(body: string): Record<string, any> | null {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
