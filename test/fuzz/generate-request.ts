import { Random } from "../simulation/random.ts";
import { generateBody } from "./generate-body.ts";
import { generateLongBody } from "./generate-long-body.ts";
import { CALLERS, type CONFIGURATIONS, type ConfigurationName, type FuzzRequest } from "./request.ts";

const ENDPOINT = "/v3/resource_matches";
const METHODS = ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"];
const ENDS = [
  "/",
  "//",
  "%2f",
  "/x",
  "/cache/",
  "/cache/x",
  ";a",
  ".",
  "/%2e%2e/resource_matches",
  "%00",
  "s",
];
const OTHER_PATHS = [
  ...ENDS.map((end) => ENDPOINT + end),
  "/",
  "/v3",
  "/v3/Resource_matches",
  "//v3/resource_matches",
  "/v2/resource_match",
  "/v3//resource_matches",
];
const QUERIES = ["?", "?a=1&a=2", "?%", "?/v3/x", "#x", "?resources=[]"];
/** Paths that a URL parser normalizes to the endpoint. */
const SAME_PATHS = ["/v3/./resource_matches", "/v3/x/../resource_matches", "/v3/resource_matches/x/.."];
const TYPES = [
  "application/json",
  "text/plain",
  "application/x-www-form-urlencoded",
  "x",
  "application/json; charset=x",
];
const IDS = [
  "abc",
  "a b!c",
  "!!!",
  "::",
  "x".repeat(300),
  "a_b-C9",
  "",
  "<script>",
  "~\"'%",
  "0".repeat(255),
  "a,b",
];

/** One request in this many has a long body. Among 2,000 requests there is one of each kind. */
const LONG_EVERY = 280;

/** The request of a seed, always the same. */
export function generateRequest(seed: number): FuzzRequest {
  const random = new Random(`request ${seed}`);
  if (seed % LONG_EVERY === 0) return generateLongRequest(random, seed / LONG_EVERY);
  const isEndpoint = random.chance(0.98);
  const method = random.chance(0.985) ? "POST" : random.pick(METHODS);
  const { bytes, isNearlyFull } = generateBody(random.fork("body"));
  const isUsual = random.chance(0.94);
  return {
    configuration: random.weighted(SHARES),
    method,
    path: isEndpoint ? pathOf(random) : random.pick(OTHER_PATHS),
    headers: headersOf(random),
    caller: isUsual ? random.weighted({ developer: 9, admin: 1 }) : random.pick(CALLERS),
    scheme: random.weighted({ Bearer: 5, bearer: 5, "bEARER ": 1 }),
    isNewCaller: isNearlyFull,
    body: method === "GET" ? new Uint8Array() : bytes,
    isChunked: random.chance(0.1),
  };
}

/** A request with a long body. Nothing refuses it before the body is parsed, because it takes as long as a hundred others. */
function generateLongRequest(random: Random, turn: number): FuzzRequest {
  return {
    configuration: random.weighted({ plain: 6, limited: 2, "odd bits": 1 }),
    method: "POST",
    path: ENDPOINT,
    headers: headersOf(random),
    caller: "developer",
    scheme: "bearer",
    isNewCaller: false,
    body: generateLongBody(random, turn),
    isChunked: random.chance(0.3),
  };
}

const SHARES: Record<ConfigurationName, number> = {
  plain: 10,
  limited: 8,
  "odd bits": 4,
  "no matching": 1,
  "no uploads": 1,
} satisfies Record<keyof typeof CONFIGURATIONS, number>;

function pathOf(random: Random): string {
  if (random.chance(0.95)) return ENDPOINT;
  return random.chance(0.3) ? random.pick(SAME_PATHS) : ENDPOINT + random.pick(QUERIES);
}

function headersOf(random: Random): Record<string, string> {
  return {
    ...(random.chance(0.7) ? { "Content-Type": random.pick(TYPES) } : {}),
    ...(random.chance(0.2) ? { "X-Vcap-Request-Id": random.pick(IDS) } : {}),
    ...(random.chance(0.1) ? { "X-Request-Id": random.pick(IDS) } : {}),
  };
}
