import type { Caller, Configuration, FuzzRequest } from "./request.ts";

/**
 * A second implementation of the contract, as simple as possible, from docs/api.md, docs/settings.md and the responses of the Cloud
 * Controller. It imports nothing of the Worker.
 */

/** The response that the Worker must send. */
export interface Expected {
  status: number;
  body: string;
  /** Matches X-Vcap-Request-Id. */
  requestId: RegExp;
}

const ENDPOINT = "/v3/resource_matches";
const BODY_MAX_BYTES = 15_728_640;
const NON_CANONICAL_MAX_BYTES = 4_194_304;
const NON_CANONICAL_MAX_TOKENS = 100_000;
const RESOURCE_MAX_BYTES = 1_048_576;
const RESOURCES_MAX = 5_000;
const TEXT_MAX_BYTES = 262_144;
const MODE_OF_NONE = "0744";
const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

type Json = Record<string, unknown>;

/** @param pool sizes in bytes, by SHA-1 in lower case */
export function expected(
  request: FuzzRequest,
  configuration: Configuration,
  pool: ReadonlyMap<string, number>,
): Expected {
  return { ...respond(request, configuration, pool), requestId: requestIdOf(request.headers) };
}

type Outcome = Pick<Expected, "status" | "body">;

function respond(
  request: FuzzRequest,
  configuration: Configuration,
  pool: ReadonlyMap<string, number>,
): Outcome {
  const { pathname } = new URL(request.path, "https://api.example.com");
  if (request.method !== "POST" || pathname !== ENDPOINT)
    return error(404, "CF-NotFound", 10000, "Unknown request");
  if (request.body.length > BODY_MAX_BYTES) {
    return error(413, "CF-BadRequest", 1004, `Bad request: the body is larger than ${BODY_MAX_BYTES} bytes`);
  }
  const refusal = refusalOf(request.caller, configuration);
  if (refusal) return refusal;
  if (exceedsNonCanonicalLimits(request.body) && !isCanonical(request.body)) {
    const limits = `${NON_CANONICAL_MAX_BYTES} bytes and ${NON_CANONICAL_MAX_TOKENS} commas and opening brackets`;
    const detail = `Bad request: the body is too large for JSON that is not in canonical form, which is limited to ${limits}`;
    return error(413, "CF-BadRequest", 1004, detail);
  }

  let json: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(request.body);
    json = text === "" ? {} : JSON.parse(text);
  } catch {
    const detail = "Request invalid due to parse error: invalid request body";
    return error(400, "CF-MessageParseError", 1001, detail);
  }
  const resources = isObject(json) ? json.resources : undefined;
  const violations = [...new Set(violationsOf(resources))].map((violation) => `Resources ${violation}`);
  if (violations.length > 0) return error(422, "CF-UnprocessableEntity", 10008, violations.join(", "));
  return {
    status: 201,
    body: JSON.stringify({ resources: matches(resources as Json[], configuration, pool) }),
  };
}

function error(status: number, title: string, code: number, detail: string): Outcome {
  return { status, body: JSON.stringify({ errors: [{ detail, title, code }] }) };
}

function exceedsNonCanonicalLimits(body: Uint8Array): boolean {
  if (body.length > NON_CANONICAL_MAX_BYTES) return true;
  const isCounted = (byte: number) => byte === 0x2c || byte === 0x5b || byte === 0x7b;
  return body.reduce((count, byte) => count + (isCounted(byte) ? 1 : 0), 0) > NON_CANONICAL_MAX_TOKENS;
}

const BLANKS = "[ \\t\\n\\r]*";
const tokens = (...texts: string[]) => texts.join(BLANKS);
const STRING = String.raw`"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"`;
const MEMBER = [
  tokens('"checksum"', ":", "\\{", '"value"', ":", '"[0-9a-fA-F]{40}"', "\\}"),
  tokens('"size_in_bytes"', ":", "(?<size>0|[1-9][0-9]{0,15})(?![0-9.eE])"),
  tokens('"path"', ":", `(?:null|(?<path>${STRING}))`),
  tokens('"mode"', ":", '(?:null|(?<mode>"[0-7]+"))'),
].join("|");
const OPENING = new RegExp(tokens("", "\\{", '"resources"', ":", "\\[", ""), "y");
const CLOSING = new RegExp(`${tokens("", "\\]", "\\}", "")}$`, "y");
const BEFORE_MEMBER = new RegExp(tokens("", "[,{]", ""), "y");
const A_MEMBER = new RegExp(MEMBER, "y");
const RESOURCE_END = new RegExp(tokens("", "\\}", ""), "y");

/** Whether a body is in the form of docs/api.md that may have 15 MiB. */
function isCanonical(body: Uint8Array): boolean {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return false;
  }
  let at = 0;
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  if (!match(OPENING)) return false;
  for (let count = 1; count <= RESOURCES_MAX; count++) {
    const start = at;
    const names = new Set<string>();
    for (let isFirst = true; !match(RESOURCE_END); isFirst = false) {
      const separator = match(BEFORE_MEMBER)?.[0].trim();
      const member = separator === (isFirst ? "{" : ",") ? match(A_MEMBER) : null;
      const name = member?.[0].slice(1, member[0].indexOf('"', 1)) ?? "";
      if (!member || names.has(name)) return false;
      names.add(name);
      const { size = "0", path = "", mode = "" } = member.groups ?? {};
      if (Number(size) > 2 ** 53 || Math.max(encode(path).length, mode.length) > TEXT_MAX_BYTES) return false;
    }
    if (!names.has("checksum") || !names.has("size_in_bytes")) return false;
    const isLast = text[at] !== ",";
    if (isLast) return match(CLOSING) !== null && encode(text.slice(start)).length < RESOURCE_MAX_BYTES;
    if (encode(text.slice(start, at)).length >= RESOURCE_MAX_BYTES) return false;
    at += 1;
    match(/[ \t\n\r]*/y);
  }
  return false;
}

function refusalOf(caller: Caller, { FEATURE_APP_BITS_UPLOAD }: Configuration): Outcome | undefined {
  switch (caller) {
    case "no token":
    case "basic":
      return error(401, "CF-NotAuthenticated", 10002, "Authentication error");
    case "developer":
      if (FEATURE_APP_BITS_UPLOAD !== "false") return undefined;
      return error(403, "CF-FeatureDisabled", 330002, "Feature Disabled: app_bits_upload");
    case "admin":
      return undefined;
    case "reader": {
      const detail = "You are not authorized to perform the requested action";
      return error(403, "CF-NotAuthorized", 10003, detail);
    }
    default:
      return error(401, "CF-InvalidAuthToken", 1000, "Invalid Auth Token");
  }
}

function* violationsOf(resources: unknown): Generator<string> {
  if (!Array.isArray(resources)) yield "must be an array";
  const length = lengthOf(resources);
  if (length < 1) yield "must have at least 1 resource";
  if (length > RESOURCES_MAX) yield `array can have at most ${RESOURCES_MAX} resources`;
  if (!Array.isArray(resources)) return;
  // If there are too many, only one too many is validated.
  for (const resource of resources.slice(0, RESOURCES_MAX + 1)) yield* violationsOfOne(resource);
}

function lengthOf(value: unknown): number {
  if (value === null || value === undefined) return 0;
  if (Array.isArray(value) || typeof value === "string") return value.length;
  return typeof value === "object" ? Object.keys(value).length : 1;
}

function* violationsOfOne(resource: unknown): Generator<string> {
  if (!isObject(resource)) return yield "array contains at least one non-object resource";
  const withA = (what: string) => `array contains at least one resource with ${what}`;
  const { checksum, size_in_bytes: size, mode, path } = resource;
  if (!isObject(checksum)) yield withA("a non-object checksum");
  else if (typeof checksum.value !== "string") yield withA("a non-string checksum value");
  else if ([...checksum.value].length !== 40) yield withA("a non-SHA1 checksum value");
  if (!Number.isInteger(size)) yield withA("a non-integer size_in_bytes");
  else if ((size as number) < 0) yield withA("a negative size_in_bytes");
  if (!isNone(mode)) {
    if (typeof mode !== "string") yield withA("a non-string mode");
    else if (mode === "" || [...mode].some((digit) => !"01234567".includes(digit)))
      yield withA("an incorrect mode");
  }
  if (!isNone(path) && typeof path !== "string") yield withA("a non-string path");
}

function matches(
  resources: readonly Json[],
  configuration: Configuration,
  pool: ReadonlyMap<string, number>,
): Json[] {
  if (configuration.FEATURE_RESOURCE_MATCHING === "false") return [];
  const minimum = Number(configuration.MINIMUM_SIZE ?? 0);
  const maximum = Number(configuration.MAXIMUM_SIZE ?? 536_870_912);
  const bits = BigInt(`0o${configuration.MINIMUM_FILE_MODE ?? 0}`);
  const checksumOf = ({ checksum }: Json) => (checksum as Json).value as string;
  const modeOf = ({ mode }: Json) => BigInt(`0o${isNone(mode) ? MODE_OF_NONE : mode}`);
  const isLong = (text: unknown) => encode(JSON.stringify(text ?? null)).length > TEXT_MAX_BYTES;
  const isTooLong = ({ path, mode }: Json) => isLong(path) || isLong(mode);
  const excluded = new Set(
    resources
      .filter((each) => isTooLong(each) || (modeOf(each) & bits) !== bits)
      .map((resource) => checksumOf(resource).toLowerCase()),
  );
  return resources
    .filter((resource) => {
      const [sha1, size] = [checksumOf(resource).toLowerCase(), resource.size_in_bytes as number];
      return size >= minimum && size <= maximum && !excluded.has(sha1) && pool.get(sha1) === size;
    })
    .map((resource) => ({
      checksum: { value: checksumOf(resource) },
      size_in_bytes: resource.size_in_bytes,
      ...(isNone(resource.path) ? {} : { path: resource.path }),
      ...(isNone(resource.mode) ? {} : { mode: resource.mode }),
    }));
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const encode = (text: string) => new TextEncoder().encode(text);
const isNone = (value: unknown) => value === undefined || value === null;

function requestIdOf(headers: Record<string, string>): RegExp {
  const request = headers["X-Vcap-Request-Id"]?.trim() || headers["X-Request-Id"]?.trim();
  if (!request) return new RegExp(`^${UUID}$`);
  const kept = [...request].filter((character) => /[A-Za-z0-9_-]/.test(character)).slice(0, 255);
  return new RegExp(`^${kept.join("")}::${UUID}$`);
}
