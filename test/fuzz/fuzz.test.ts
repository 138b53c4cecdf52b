import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { MATCH, NO_MATCH, NO_SESSION } from "../../src/push-sessions/decisions.ts";
import type { PushSessions } from "../../src/push-sessions/push-sessions.ts";
import type { ResourceKey } from "../../src/resources/resource-key.ts";
import { isCanonical } from "../bytes/request-paths.ts";
import { report, runAlarm } from "../support/catalog.ts";
import { generateRsaKeys, signToken } from "../support/tokens.ts";
import { sendWithEnv } from "../support/worker.ts";
import { differencesOf, explain } from "./difference.ts";
import { LONG_FORMS, longFormsOf } from "./long.ts";
import { POOL, POOL_BODY } from "./pool.ts";
import { requestOf } from "./requests.ts";
import {
  type Ask,
  authorizations,
  type Caller,
  CONFIGURATIONS,
  type ConfigurationName,
  SCOPES,
} from "./sent.ts";

const [SEED, CASES] = [Number(env.FUZZ_SEED), Number(env.FUZZ_CASES)];
const DAY_SECONDS = 86_400;
const MS_A_CASE = 100;
const STARTED_MAX_MS = 30_000;
const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };

/** Nothing was decided before: push sessions have tests of their own. */
const object = {
  inspect: async () => ({ retrySuspected: false, session: NO_SESSION }),
  decide: async (...[, , , , found]: Parameters<PushSessions["decide"]>) => ({
    decisions: found.map((mark) => (mark === MATCH ? MATCH : NO_MATCH)),
    decidedEarlier: 0,
  }),
};
const PUSH_SESSIONS = { getByName: () => object };

/** Each configuration is an isolate's. */
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

const ask: Ask = async (sent) => {
  const { configuration, method, path, headers, body, isChunked } = sent;
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
      headers: { ...headers, ...(await authorizationOf(sent)) },
    },
  );
  return {
    status: response.status,
    headers: response.headers,
    body: new Uint8Array(await response.arrayBuffer()),
  };
};

/** The Worker writes a line a request. */
function silenceConsole(): void {
  for (const level of ["log", "warn", "error"] as const)
    vi.spyOn(console, level).mockImplementation(() => {});
}

/** And it sets a timer or two, of which the runtime takes 10,000 from all tests at a time. */
function silence(): void {
  vi.spyOn(AbortSignal, "timeout").mockImplementation(() => new AbortController().signal);
  silenceConsole();
}

beforeAll(async () => {
  silenceConsole();
  await report({ present: [...POOL].map(([sha1, size]): ResourceKey => `${sha1}:${size}`) });
  await runAlarm();
  const whole = {
    ...requestOf(SEED),
    configuration: "plain",
    method: "POST",
    path: "/v3/resource_matches",
  } as const;
  const body = new TextEncoder().encode(POOL_BODY) as Uint8Array<ArrayBuffer>;
  for (const configuration of Object.keys(CONFIGURATIONS) as ConfigurationName[]) {
    const sent = {
      ...whole,
      configuration,
      headers: {},
      caller: "admin",
      isCallerFresh: true,
      body,
    } as const;
    await vi.waitFor(async () => expect(await differencesOf(sent, ask)).toEqual([]), STARTED_MAX_MS);
  }
}, STARTED_MAX_MS);

describe("whatever is sent, the Worker and an independent reading of the contract answer the same bytes", () => {
  it(
    `of ${CASES} requests from seed ${SEED}`,
    async () => {
      const statuses: Record<number, number> = {};
      const longForms = new Set<string>();
      let usual = 0;
      silence();
      for (let seed = SEED; seed < SEED + CASES; seed++) {
        const sent = requestOf(seed);
        let status = 0;
        const differences = await differencesOf(sent, async (request) => {
          const answered = await ask(request);
          ({ status } = answered);
          return answered;
        });
        if (differences.length > 0) expect.fail(await explain(seed, sent, ask));
        statuses[status] = (statuses[status] ?? 0) + 1;
        const hasUsualForm = isCanonical(sent.body, RULES);
        usual += hasUsualForm ? 1 : 0;
        if (status === 201) for (const form of longFormsOf(sent.body, hasUsualForm)) longForms.add(form);
      }
      vi.restoreAllMocks();
      console.log(
        `${CASES} requests from seed ${SEED}: ${JSON.stringify(statuses)}, ${usual} of the usual form`,
      );
      if (CASES < 1_000) return;
      // It is worth nothing where all is refused, or all is of the usual form.
      expect(statuses[201]).toBeGreaterThan(CASES / 5);
      expect(statuses[422]).toBeGreaterThan(CASES / 10);
      expect(usual).toBeGreaterThan(CASES / 5);
      expect(usual).toBeLessThan(CASES * 0.8);
      // Nor where nothing is long: of 2,000 seven are, one of each kind.
      if (CASES >= 2_000) expect(LONG_FORMS.filter((form) => !longForms.has(form))).toEqual([]);
    },
    STARTED_MAX_MS + CASES * MS_A_CASE,
  );
});
