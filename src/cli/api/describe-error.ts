import { proxyFor } from "../network/proxy.ts";
import { type ApiResponse, hasErrorEnvelope, isOutage, jsonOf } from "./send.ts";
import { refusalAdvice } from "./token.ts";

const TEXT_MAX_CHARACTERS = 120;
const JSON_MAX_CHARACTERS = 60;
/** What nginx and Go's servers respond to plain HTTP. */
const USES_TLS = /plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server/;
/** An error of S3 or Azure. */
const XML_ERROR = /<Error>.*?<Code>([^<]+)<\/Code>/s;
const XML_ENTITIES: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
const HTML = /^\s*<(!doctype|html|head|body|h1)\b/i;

/** Describes an unexpected response, with advice in further lines. */
export function describeError(response: ApiResponse): string {
  return [summarizeError(response), ...adviceFor(response)].join("\n");
}

/** The first line of `describeError`: status, error message and redirect. */
export function summarizeError(response: ApiResponse): string {
  const { status, headers, target } = response;
  const location = headers.get("Location");
  const redirect = location === null ? "" : ` It redirects to ${printable(location)}.`;
  return `${target} returned ${status}${detailOf(response)}${redirect}`;
}

function adviceFor(response: ApiResponse): string[] {
  const { status, headers, target, token, body } = response;
  const isOperatorApi = target.includes("/v3/resource_matches/cache");
  if (headers.has("Location"))
    return ["Is the URL the base URL of the API, with https:// if the server requires that?"];
  if (status === 400 && USES_TLS.test(body)) {
    return ["The server uses TLS. The URL must begin with https://."];
  }
  if (!hasErrorEnvelope(response)) {
    const url = new URL(target);
    const proxy = url.protocol === "http:" ? proxyFor(url) : undefined;
    if (proxy) return [`The response may be from the proxy ${proxy.name} (${proxy.variable}).`];
    if (isOutage(response)) return [];
    const expected = isOperatorApi
      ? "a Worker of this project"
      : "a Worker of this project or a Cloud Controller";
    const cause =
      status === 401 || status === 403
        ? "A firewall, a proxy or a login page in front of the server refuses the request."
        : `This is not a response of ${expected}.`;
    return [`${cause} Is ${isOperatorApi ? "--url" : "the URL"} right?`];
  }
  if (status === 401 && body.includes("CF-NotAuthenticated")) {
    return ["The server has received no token. A proxy in front of it removes the header Authorization."];
  }
  if (status === 401 && token !== undefined) {
    return [refusalAdvice(token, target, Date.parse(headers.get("Date") ?? "") || Date.now())];
  }
  if (isOperatorApi && status === 403) {
    return [
      "The token needs the scope cloud_controller.admin. For `list` and `status`, cloud_controller.admin_read_only or " +
        "cloud_controller.global_auditor is enough. Log in as a user who has it.",
    ];
  }
  if (isOperatorApi && status === 404) {
    return [
      "There is no Worker at this address. Is --url the base URL of the API, and does the Worker's route end with a " +
        "star? Behind a load balancer, --url must be the Worker's own URL.",
    ];
  }
  return [];
}

/** Text of Cloud Foundry's error envelope. Of any other body the title or the beginning. */
function detailOf(response: ApiResponse): string {
  const { body, headers } = response;
  if (body.trim() === "") return ".";
  const json = jsonOf(response) as Record<string, unknown> | undefined;
  if (hasErrorEnvelope(response)) {
    const errors = json?.errors as Record<"detail" | "title" | "code", unknown>[];
    const texts = errors.map(({ detail, title, code }) => `${detail} (${title}, ${code})`);
    return `: ${printable(texts.join("; "))}`;
  }
  const xmlError = describeXmlError(body);
  if (xmlError !== undefined) return `: ${xmlError}`;
  if (headers.get("Content-Type")?.includes("text/html") || HTML.test(body)) {
    const title = /<(title|h1)[^>]*>([^<]+)/i.exec(body)?.[2];
    return title === undefined
      ? " with a web page."
      : ` with a web page: "${excerpt(title, TEXT_MAX_CHARACTERS)}"`;
  }
  if (typeof json !== "object" || json === null) return `: ${excerpt(body, TEXT_MAX_CHARACTERS)}`;
  if (Array.isArray(json.checks)) return " with the status of a Worker.";
  // UAA's errors.
  const message = json.error_description ?? json.error;
  return typeof message === "string"
    ? `: ${excerpt(message, TEXT_MAX_CHARACTERS)}`
    : ` with JSON that is not an error: ${excerpt(body, JSON_MAX_CHARACTERS)}`;
}

/** The message and the code of an error of S3 or Azure; undefined if the body is none. */
export function describeXmlError(body: string): string | undefined {
  const [, code] = XML_ERROR.exec(body) ?? [];
  if (code === undefined) return undefined;
  const [, message] = /<Message>([^<]+)<\/Message>/.exec(body) ?? [];
  const text = message === undefined ? code : `${message} (${code})`;
  return printable(text.replaceAll(/&(\w+);/g, (entity, name) => XML_ENTITIES[name] ?? entity));
}

function excerpt(text: string, maxCharacters: number): string {
  const line = printable(text);
  return line.length > maxCharacters ? `${line.slice(0, maxCharacters)}…` : line;
}

/** One line without control characters: a server's text must not control the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\s]+/gu, " ").trim();
}
