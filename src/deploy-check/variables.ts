import { configurationOf, isLoopback } from "../configuration.ts";
import { Failure } from "../failure.ts";

/** What a server's address is, where a deployed Worker must reach it. */
const OWN = {
  UAA_URL: "https://uaa.<system domain>, the foundation's UAA",
  CLOUD_CONTROLLER_URL: "https://api.<system domain>, the foundation's Cloud Controller",
};

/** What wrangler.toml binds, so that the variables are all that can be wrong. */
const BINDING = new Proxy({}, { get: () => () => {} });
const BINDINGS = { RESOURCE_CACHE: BINDING, CATALOG: BINDING, PUSH_SESSIONS: BINDING };
/** What is absent may be anything: what is said of others beside it is right then. */
const ABSENT = { CLOUD_CONTROLLER_URL: "https://absent.invalid", MAXIMUM_SIZE: Number.MAX_SAFE_INTEGER };

/**
 * What is wrong with the variables of a Worker that is to be deployed, a line for each. One that is absent is none: it may
 * be a secret, or be set in the dashboard.
 */
export function wrongVariables(vars: Record<string, unknown>): string[] {
  const configuration = configurationOf({ ...BINDINGS, ...ABSENT, ...vars });
  const wrong = configuration instanceof Failure ? configuration.wrongVariables : [];
  const invalid = wrong.filter(({ variable }) => variable in vars);
  const standIns = Object.entries(OWN).filter(([name]) => isPlaceholder(vars[name]));
  return [
    ...invalid.map(
      ({ variable, value, expected }) => `${variable} is ${JSON.stringify(value)}: set ${expected}`,
    ),
    ...standIns.map(([name, own]) => `${name} is "${vars[name]}", which is only an example: set ${own}`),
  ];
}

/** Whether an address is none of a foundation: the local foundation of `npm start`, or a name that is kept for examples. */
export function isPlaceholder(address: unknown): boolean {
  if (typeof address !== "string" || !URL.canParse(address)) return false;
  const { hostname } = new URL(address);
  return isLoopback(hostname) || /(^|\.)(localhost|example|example\.(com|net|org))\.?$/.test(hostname);
}
