import * as v from "valibot";
import { Failure } from "./failure.ts";
import { isLoopback } from "./http/loopback.ts";
import { JURISDICTIONS, LOCATION_HINTS } from "./placement/placement.ts";
import {
  KEY_PREFIX_MAX_BYTES,
  KEYS_PER_DAY_MAX,
  KV_CACHE_TTL_MAX_SECONDS,
  KV_CACHE_TTL_MIN_SECONDS,
  LOOKUP_DEADLINE_MAX_MS,
} from "./platform-limits.ts";
import { LOOKUP_DEADLINE_DEFAULT_MS } from "./time/time-guarantees.ts";

/** Bindings and variables of wrangler.toml. The runtime provides what was deployed: any of them may be missing. */
export type Env = Partial<Cloudflare.Env>;

/** Everything that can be configured, unchecked. */
type Variables = Partial<Record<keyof typeof VARIABLES, unknown>>;

export type Configuration = v.InferOutput<typeof SCHEMA>;

/** wrangler.toml has strings, numbers and booleans: `"60"` and `60` are the same. */
const text = v.pipe(v.union([v.string(), v.number(), v.boolean()]), v.transform(String));

const flag = v.message(
  v.pipe(
    text,
    v.picklist(["true", "false"]),
    v.transform((value) => value === "true"),
  ),
  "true or false",
);

const wholeNumber = (minimum: number, maximum: number, unit: string) =>
  v.message(
    v.pipe(text, v.regex(/^\d{1,16}$/), v.transform(Number), v.minValue(minimum), v.maxValue(maximum)),
    `a whole number of ${unit}, ${minimum} to ${maximum}`,
  );

const size = wholeNumber(0, Number.MAX_SAFE_INTEGER, "bytes");

const nonEmpty = v.message(v.pipe(v.string(), v.nonEmpty()), "non-empty text");

// Not `text`: an unquoted 0o600 in TOML arrives as the number 384.
const fileMode = v.message(
  v.pipe(
    v.string(),
    v.regex(/^[0-7]{1,4}$/),
    v.transform((value) => Number.parseInt(value, 8)),
  ),
  'one to four octal digits, in quotes: "0600"',
);

// Tokens are sent to these servers and verified with their keys, so that plain http is only allowed on the same machine.
const serverUrl = v.message(
  v.pipe(
    v.string(),
    v.url(),
    v.transform((value) => new URL(value)),
    v.check(
      ({ protocol, hostname }) => protocol === "https:" || (protocol === "http:" && isLoopback(hostname)),
    ),
    v.check(({ username, password, search, hash }) => `${username}${password}${search}${hash}` === ""),
    v.transform(({ href }) => href.replace(/\/+$/, "")),
  ),
  "an https URL (http on localhost) without credentials or query: https://uaa.example.com",
);

const oneOf = <const T extends readonly string[]>(values: T) =>
  v.picklist(values, `one of ${values.join(", ")}`);

/** A binding, recognised by its methods. */
const binding = <T extends object>(kind: string, ...methods: (keyof T)[]) =>
  v.custom<T>(
    (value) => methods.every((method) => typeof (value as T | null | undefined)?.[method] === "function"),
    `${kind} binding`,
  );

const VARIABLES = {
  RESOURCE_CACHE: binding<Cloudflare.Env["RESOURCE_CACHE"]>("a KV namespace", "get", "put", "delete"),
  CATALOG: binding<Cloudflare.Env["CATALOG"]>("a Durable Object namespace", "getByName"),
  PUSH_SESSIONS: binding<Cloudflare.Env["PUSH_SESSIONS"]>("a Durable Object namespace", "getByName"),
  UAA_URL: serverUrl,
  UAA_ISSUER: v.optional(nonEmpty),
  UAA_AUDIENCE: v.optional(nonEmpty, "cloud_controller"),
  FEATURE_RESOURCE_MATCHING: v.optional(flag, "true"),
  FEATURE_APP_BITS_UPLOAD: v.optional(flag, "true"),
  MINIMUM_SIZE: v.optional(size, "0"),
  MAXIMUM_SIZE: v.optional(size, "536870912"),
  MINIMUM_FILE_MODE: v.optional(fileMode),
  KEY_PREFIX: v.optional(
    v.message(
      v.pipe(text, v.maxBytes(KEY_PREFIX_MAX_BYTES)),
      `text of at most ${KEY_PREFIX_MAX_BYTES} bytes`,
    ),
    "",
  ),
  CLOUD_CONTROLLER_URL: v.optional(serverUrl),
  MODE: v.optional(v.message(v.picklist(["answer", "shadow"]), "answer or shadow"), "answer"),
  LOOKUP_DEADLINE_MS: v.optional(
    wholeNumber(1, LOOKUP_DEADLINE_MAX_MS, "milliseconds"),
    `${LOOKUP_DEADLINE_DEFAULT_MS}`,
  ),
  KV_CACHE_TTL: v.optional(wholeNumber(KV_CACHE_TTL_MIN_SECONDS, KV_CACHE_TTL_MAX_SECONDS, "seconds"), "60"),
  KEYS_PER_DAY: v.optional(wholeNumber(0, KEYS_PER_DAY_MAX, "keys"), "500"),
  DATA_JURISDICTION: v.optional(oneOf(JURISDICTIONS)),
  CATALOG_LOCATION: v.optional(oneOf(LOCATION_HINTS)),
  POOL_BUCKET: v.optional(binding<R2Bucket>("an R2 bucket", "head")),
  RATE_LIMITER: v.optional(binding<RateLimit>("a rate limit", "limit")),
  METRICS: v.optional(binding<AnalyticsEngineDataset>("an Analytics Engine", "writeDataPoint")),
};

const SCHEMA = v.pipe(
  v.object(VARIABLES),
  v.forward(
    v.check(({ MINIMUM_SIZE, MAXIMUM_SIZE }) => MINIMUM_SIZE <= MAXIMUM_SIZE, "at most MAXIMUM_SIZE"),
    ["MINIMUM_SIZE"],
  ),
  v.forward(
    v.check(
      ({ MODE, CLOUD_CONTROLLER_URL }) => MODE === "answer" || CLOUD_CONTROLLER_URL !== undefined,
      "answer if CLOUD_CONTROLLER_URL is not set: in shadow mode the Cloud Controller responds",
    ),
    ["MODE"],
  ),
  v.transform((variables) => ({
    cache: variables.RESOURCE_CACHE,
    catalog: variables.CATALOG,
    pushSessions: variables.PUSH_SESSIONS,
    /** Of both Durable Objects; undefined if they may be anywhere. */
    jurisdiction: variables.DATA_JURISDICTION,
    /** Where Cloudflare creates the catalog; undefined: near its first caller. */
    catalogLocation: variables.CATALOG_LOCATION,
    keyPrefix: variables.KEY_PREFIX,
    /** Seconds. */
    kvCacheTtl: variables.KV_CACHE_TTL,
    keysPerDay: variables.KEYS_PER_DAY,
    /** The name of the foundation in METRICS: the host of its UAA. */
    foundation: new URL(variables.UAA_URL).host,
    uaa: {
      url: variables.UAA_URL,
      issuer: variables.UAA_ISSUER ?? `${variables.UAA_URL}/oauth/token`,
      audience: variables.UAA_AUDIENCE,
    },
    features: {
      resourceMatching: variables.FEATURE_RESOURCE_MATCHING,
      appBitsUpload: variables.FEATURE_APP_BITS_UPLOAD,
    },
    eligibility: {
      /** Bytes, inclusive. */
      minimumSize: variables.MINIMUM_SIZE,
      /** Bytes, inclusive. */
      maximumSize: variables.MAXIMUM_SIZE,
      /**
       * Bits that a mode must have; undefined if any mode may match. The Cloud Controller fails a package with a matched
       * resource whose mode lacks 0600.
       */
      minimumFileMode: variables.MINIMUM_FILE_MODE ?? (variables.CLOUD_CONTROLLER_URL ? 0o600 : undefined),
    },
    cloudControllerUrl: variables.CLOUD_CONTROLLER_URL,
    mode: variables.MODE,
    lookupDeadlineMs: variables.LOOKUP_DEADLINE_MS,
    poolBucket: variables.POOL_BUCKET,
    rateLimiter: variables.RATE_LIMITER,
    metrics: variables.METRICS,
  })),
);

/** The configuration of `env`, or `misconfigured` with every wrong variable. Each env object is decoded once. */
export const configurationOf = memoize(decode);

/**
 * Returns a function that creates one value per configuration, at its first call. An isolate has one configuration, so that the
 * value lives as long as the isolate.
 */
export function perConfiguration<T extends object>(create: (configuration: Configuration) => T) {
  return memoize(create);
}

function memoize<K extends object, V extends object>(create: (key: K) => V): (key: K) => V {
  const values = new WeakMap<K, V>();
  return (key) => {
    const value = values.get(key) ?? create(key);
    values.set(key, value);
    return value;
  };
}

function decode(env: Variables): Configuration | Failure {
  // With a property for each variable, so that a missing one gets the message of its own schema.
  const values = Object.fromEntries(
    Object.keys(VARIABLES).map((name) => [name, env[name as keyof Variables]]),
  );
  const result = v.safeParse(SCHEMA, values, { abortPipeEarly: true });
  if (result.success) return result.output;
  const variables = result.issues.map((issue) => {
    const variable = String(issue.path?.[0]?.key);
    return { variable, value: loggable(values[variable]), expected: issue.message };
  });
  return new Failure({ kind: "misconfigured", variables });
}

/** CLOUD_CONTROLLER_URL, even if another variable is wrong; undefined if it is not valid itself (R2.6). */
export function usableCloudController(env: Variables): string | undefined {
  const url = v.safeParse(serverUrl, env.CLOUD_CONTROLLER_URL);
  return url.success ? url.output : undefined;
}

/** METRICS and the foundation's name, even if another variable is wrong. The name is empty if UAA_URL is not valid. */
export function usableMetrics(env: Variables): Pick<Configuration, "metrics" | "foundation"> {
  const metrics = v.safeParse(VARIABLES.METRICS, env.METRICS);
  const uaaUrl = v.safeParse(serverUrl, env.UAA_URL);
  return {
    metrics: metrics.success ? metrics.output : undefined,
    foundation: uaaUrl.success ? new URL(uaaUrl.output).host : "",
  };
}

/** A value for the log: URLs without credentials and query, bindings only by type. */
function loggable(value: unknown): unknown {
  if (value === undefined) return "missing";
  if (typeof value !== "string") return typeof value === "object" ? "object" : value;
  return value.replace(/^.*@/s, "…@").replace(/[?#].*/s, "?…");
}
