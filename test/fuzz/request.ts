/** The callers. Only the first three have a valid token. */
export const CALLERS = [
  "developer",
  "admin",
  "reader",
  "no token",
  "basic",
  "empty",
  "garbage",
  "expired",
  "foreign",
  "refresh",
  "another audience",
  "another issuer",
] as const;
export type Caller = (typeof CALLERS)[number];

/** The scopes of callers with a valid token. */
export const SCOPES: Partial<Record<Caller, string[]>> = {
  developer: ["openid", "cloud_controller.read", "cloud_controller.write"],
  admin: ["cloud_controller.admin"],
  reader: ["cloud_controller.read", "cloud_controller.admin_read_only"],
};

/** Variables of the Worker, as docs/settings.md has them. */
export interface Configuration {
  MINIMUM_SIZE?: string;
  MAXIMUM_SIZE?: string;
  MINIMUM_FILE_MODE?: string;
  FEATURE_RESOURCE_MATCHING?: string;
  FEATURE_APP_BITS_UPLOAD?: string;
}

export const CONFIGURATIONS = {
  plain: { MINIMUM_SIZE: "0" },
  limited: { MINIMUM_SIZE: "36", MAXIMUM_SIZE: "70000", MINIMUM_FILE_MODE: "0600" },
  "odd bits": { MINIMUM_SIZE: "1", MAXIMUM_SIZE: "9007199254740991", MINIMUM_FILE_MODE: "4111" },
  "no matching": { MINIMUM_SIZE: "0", FEATURE_RESOURCE_MATCHING: "false" },
  "no uploads": { MINIMUM_SIZE: "0", FEATURE_APP_BITS_UPLOAD: "false" },
} satisfies Record<string, Configuration>;
export type ConfigurationName = keyof typeof CONFIGURATIONS;

export interface FuzzRequest {
  configuration: ConfigurationName;
  method: string;
  /** With its query. */
  path: string;
  /** Without Authorization. */
  headers: Record<string, string>;
  caller: Caller;
  /** How the caller writes "Bearer". */
  scheme: string;
  /** Whether the caller is a new user: the decisions of a request of 5,000 resources count in later requests of its user. */
  isNewCaller: boolean;
  body: Uint8Array<ArrayBuffer>;
  isChunked: boolean;
}

export interface FuzzResponse {
  status: number;
  headers: Headers;
  body: Uint8Array;
}

/** Sends a request to the Worker of its configuration. */
export type Send = (request: FuzzRequest) => Promise<FuzzResponse>;

/**
 * The Authorization header of each caller.
 *
 * @param tokenOf issues a token of a new user. Callers that need not be new share one token
 */
export function authorizations(tokenOf: (caller: Caller) => Promise<string>) {
  const tokens = new Map<Caller, string>();
  return async ({
    caller,
    scheme,
    isNewCaller,
  }: Pick<FuzzRequest, "caller" | "scheme" | "isNewCaller">): Promise<Record<string, string>> => {
    if (caller === "no token") return {};
    if (caller === "basic") return { Authorization: "Basic Y2Y6" };
    if (caller === "empty") return { Authorization: scheme };
    const token = (isNewCaller ? undefined : tokens.get(caller)) ?? (await tokenOf(caller));
    if (!isNewCaller) tokens.set(caller, token);
    return { Authorization: `${scheme} ${token}` };
  };
}
