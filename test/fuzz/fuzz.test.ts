import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { MATCH, NO_MATCH, NO_SESSION } from "../../src/push-sessions/decisions.ts";
import type { PushSessionsApi } from "../../src/push-sessions/push-sessions-api.ts";
import type { ResourceKey } from "../../src/resources/resource-key.ts";
import { isCanonical } from "../bytes/request-paths.ts";
import { report, runAlarm } from "../support/catalog.ts";
import { generateRsaKeys, signToken } from "../support/tokens.ts";
import { sendWithEnv } from "../support/worker.ts";
import { explain, findDifferences } from "./difference.ts";
import { LONG_TRAITS, longTraitsOf } from "./generate-long-body.ts";
import { generateRequest } from "./generate-request.ts";
import { POOL, POOL_BODY } from "./pool.ts";
import {
  authorizations,
  type Caller,
  CONFIGURATIONS,
  type ConfigurationName,
  SCOPES,
  type Send,
} from "./request.ts";

const [SEED, CASES] = [Number(env.FUZZ_SEED), Number(env.FUZZ_CASES)];
const DAY_SECONDS = 86_400;
const MS_A_CASE = 100;
const STARTED_MAX_MS = 30_000;
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };

/** Push sessions without decisions: other tests cover them. */
const object: PushSessionsApi = {
  inspect: async () => ({ retrySuspected: false, session: NO_SESSION }),
  decide: async (_pushId, _fingerprint, _requestId, _contents, found) => ({
    decisions: Uint8Array.from(found, (mark) => (mark === MATCH ? MATCH : NO_MATCH)),
    decidedEarlier: 0,
  }),
};
const PUSH_SESSIONS = { getByName: () => object };

/** An environment for each configuration, and so an isolate. */
const deployments = Object.fromEntries(
  Object.entries(CONFIGURATIONS).map(([name, variables]) => [name, { ...env, PUSH_SESSIONS, ...variables }]),
) as Record<ConfigurationName, object>;

async function tokenOf(caller: Caller): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) + DAY_SECONDS;
  const scope = SCOPES[caller] ?? SCOPES.developer;
  if (caller === "garbage") return "eyJhbGciOiJub25lIn0.e30.";
  if (caller === "expired") return signToken({ scope, exp: exp - 2 * DAY_SECONDS });
  if (caller === "foreign")
    return signToken({ scope, exp }, {}, (await generateRsaKeys(2_048)).privateKey as never);
  if (caller === "refresh") return signToken({ scope, exp, jti: "b4ba1dd2f5d04e7fa3f0ee2b2e5cd1b5-r" });
  if (caller === "another audience") return signToken({ scope, exp, aud: ["uaa"] });
  if (caller === "another issuer")
    return signToken({ scope, exp, iss: "https://uaa.example.org/oauth/token" });
  return signToken({ scope, exp });
}

const authorizationOf = authorizations(tokenOf);

const send: Send = async (request) => {
  const { configuration, method, path, headers, body, isChunked } = request;
  const response = await sendWithEnv(
    deployments[configuration],
    method === "GET"
      ? undefined
      : isChunked && body.length > 0
        ? (new Response(body).body ?? undefined)
        : body,
    {
      method,
      url: `https://api.example.com${path}`,
      token: null,
      headers: { ...headers, ...(await authorizationOf(request)) },
    },
  );
  return {
    status: response.status,
    headers: response.headers,
    body: new Uint8Array(await response.arrayBuffer()),
  };
};

/** The Worker logs a line for each request. */
function silenceConsole(): void {
  for (const level of ["log", "warn", "error"] as const)
    vi.spyOn(console, level).mockImplementation(() => {});
}

/** The Worker also starts timers, and the runtime allows 10,000 of them at a time. */
function silence(): void {
  vi.spyOn(AbortSignal, "timeout").mockImplementation(() => new AbortController().signal);
  silenceConsole();
}

beforeAll(async () => {
  silenceConsole();
  await report({ present: [...POOL].map(([sha1, size]): ResourceKey => `${sha1}:${size}`) });
  await runAlarm();
  const whole = {
    ...generateRequest(SEED),
    configuration: "plain",
    method: "POST",
    path: "/v3/resource_matches",
  } as const;
  const body = new TextEncoder().encode(POOL_BODY) as Uint8Array<ArrayBuffer>;
  for (const configuration of Object.keys(CONFIGURATIONS) as ConfigurationName[]) {
    const request = {
      ...whole,
      configuration,
      headers: {},
      caller: "admin",
      isNewCaller: true,
      body,
    } as const;
    await vi.waitFor(async () => expect(await findDifferences(request, send)).toEqual([]), STARTED_MAX_MS);
  }
}, STARTED_MAX_MS);

describe("fuzzing", () => {
  it(
    `returns the bytes of an independent implementation for ${CASES} requests from seed ${SEED} (R2.4)`,
    async () => {
      const statuses: Record<number, number> = {};
      const longForms = new Set<string>();
      let canonical = 0;
      silence();
      for (let seed = SEED; seed < SEED + CASES; seed++) {
        const request = generateRequest(seed);
        let status = 0;
        const differences = await findDifferences(request, async (request) => {
          const received = await send(request);
          ({ status } = received);
          return received;
        });
        if (differences.length > 0) expect.fail(await explain(seed, request, send));
        statuses[status] = (statuses[status] ?? 0) + 1;
        const isBodyCanonical = isCanonical(request.body, RULES);
        canonical += isBodyCanonical ? 1 : 0;
        if (status === 201)
          for (const form of longTraitsOf(request.body, isBodyCanonical)) longForms.add(form);
      }
      vi.restoreAllMocks();
      console.log(
        `${CASES} requests from seed ${SEED}: ${JSON.stringify(statuses)}, ${canonical} in canonical form`,
      );
      if (CASES < 1_000) return;
      // The test proves nothing if all requests are refused, or all take the same path.
      expect(statuses[201]).toBeGreaterThan(CASES / 5);
      expect(statuses[422]).toBeGreaterThan(CASES / 10);
      expect(canonical).toBeGreaterThan(CASES / 5);
      expect(canonical).toBeLessThan(CASES * 0.8);
      // Of 2,000 requests seven have a long body, one of each kind.
      if (CASES >= 2_000) expect(LONG_TRAITS.filter((form) => !longForms.has(form))).toEqual([]);
    },
    STARTED_MAX_MS + CASES * MS_A_CASE,
  );
});
