/** Who asks. All but the first three bear a token that must not count. */
export const CALLERS = [
  "developer",
  "admin",
  "reader",
  "nobody",
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

/** Scopes of those who have a good token. */
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

/** One request. */
export interface Sent {
  configuration: ConfigurationName;
  method: string;
  /** With query. */
  path: string;
  /** But Authorization. */
  headers: Record<string, string>;
  caller: Caller;
  /** As the caller writes "Bearer". */
  scheme: string;
  /** Whether nobody else is the caller: what one is told in a request of 5,000 counts in others too. */
  isCallerFresh: boolean;
  body: Uint8Array<ArrayBuffer>;
  isChunked: boolean;
}

/** What came back. */
export interface Answered {
  status: number;
  headers: Headers;
  body: Uint8Array;
}

/** Sends a request to the Worker of its configuration. */
export type Ask = (sent: Sent) => Promise<Answered>;

/**
 * The Authorization header of each caller.
 *
 * @param tokenOf makes a token, of another user each time; but for callers who are to be fresh one serves for all
 */
export function authorizations(tokenOf: (caller: Caller) => Promise<string>) {
  const kept = new Map<Caller, string>();
  return async ({
    caller,
    scheme,
    isCallerFresh,
  }: Pick<Sent, "caller" | "scheme" | "isCallerFresh">): Promise<Record<string, string>> => {
    if (caller === "nobody") return {};
    if (caller === "basic") return { Authorization: "Basic Y2Y6" };
    if (caller === "empty") return { Authorization: scheme };
    const token = (isCallerFresh ? undefined : kept.get(caller)) ?? (await tokenOf(caller));
    if (!isCallerFresh) kept.set(caller, token);
    return { Authorization: `${scheme} ${token}` };
  };
}
