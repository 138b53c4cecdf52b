import { setTimeout as pause } from "node:timers/promises";
import { createSigningKey } from "../../foundation/uaa/signing-key.ts";
import { signToken } from "../../foundation/uaa/token.ts";
import { startUaa, type Uaa } from "../../foundation/uaa/uaa.ts";
import { bundleWorker } from "../../support/node/bundle.ts";
import { startWorkerd, type Workerd } from "../../support/node/workerd.ts";
import { BODY_MAX_BYTES } from "../bodies.ts";
import { differencesOf, explain } from "../difference.ts";
import { POOL, POOL_BODY } from "../pool.ts";
import { requestOf } from "../requests.ts";
import {
  type Ask,
  authorizations,
  type Caller,
  CONFIGURATIONS,
  type ConfigurationName,
  SCOPES,
} from "../sent.ts";

const DAY_SECONDS = 86_400;
const AT_ONCE = 8;
const ATTEMPTS = 10;
const PUBLISHED_MAX_MS = 30_000;
const POLL_MS = 200;
const ENDPOINT = "/v3/resource_matches";

/**
 * Fuzzes a Worker of each configuration, in a workerd of its own.
 *
 * @returns the exit code: 1 where an answer is not what the oracle says
 */
export async function fuzzOverHttp(seed: number, cases: number): Promise<number> {
  const uaa = await startUaa();
  const workers = {} as Record<ConfigurationName, Workerd>;
  const modules = await bundleWorker();
  for (const [name, variables] of Object.entries(CONFIGURATIONS)) {
    workers[name as ConfigurationName] = await startWorkerd({
      modules,
      variables: { UAA_URL: uaa.url, ...variables },
    });
  }
  const authorizationOf = authorizations((caller) => tokenOf(uaa, caller));

  const askOnce: Ask = async (sent) => {
    const { configuration, method, path, headers } = sent;
    const worker = workers[configuration];
    worker.lines.length = 0;
    const response = await fetch(worker.url + path, {
      method,
      headers: { ...headers, ...(await authorizationOf(sent)) },
      ...(method === "GET"
        ? {}
        : { body: sent.isChunked ? new Response(sent.body).body : sent.body, duplex: "half" }),
    } as RequestInit);
    return { status: response.status, headers: response.headers, body: await response.bytes() };
  };
  // Who is answered 413 in the middle of a body may see a broken pipe before the answer.
  const ask: Ask = async (sent) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await askOnce(sent);
      } catch (error) {
        if (sent.body.length <= BODY_MAX_BYTES || attempt === ATTEMPTS) throw error;
      }
    }
  };

  try {
    for (const name of Object.keys(CONFIGURATIONS) as ConfigurationName[])
      await fill(workers[name], name, ask);
    const statuses: Record<number, number> = {};
    let next = seed;
    let failure: string | undefined;
    const client = async () => {
      while (next < seed + cases && failure === undefined) {
        const own = next++;
        const sent = requestOf(own);
        const differences = await differencesOf(sent, async (request) => {
          const answered = await ask(request);
          statuses[answered.status] = (statuses[answered.status] ?? 0) + 1;
          return answered;
        });
        if (differences.length > 0) failure ??= await explain(own, sent, ask, " --http");
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    console.log(failure ?? `${cases} requests from seed ${seed} over HTTP: ${JSON.stringify(statuses)}`);
    return failure === undefined ? 0 : 1;
  } finally {
    await Promise.all([uaa.close(), ...Object.values(workers).map((worker) => worker.stop())]);
  }
}

/** Another user each time. */
async function tokenOf(uaa: Uaa, caller: Caller): Promise<string> {
  const user = { id: crypto.randomUUID(), name: caller };
  const scopes = SCOPES[caller] ?? SCOPES.developer ?? [];
  const usual = { user, scopes, lifetime: DAY_SECONDS };
  switch (caller) {
    case "garbage":
      return "eyJhbGciOiJub25lIn0.e30.";
    case "expired":
      return uaa.issueToken({ ...usual, lifetime: -DAY_SECONDS });
    case "foreign": {
      const { kid } = uaa.signingKey();
      return signToken({ key: { ...(await createSigningKey()), kid }, issuer: uaa.issuer }, usual);
    }
    case "refresh":
      return uaa.issueToken({ ...usual, refresh: true });
    case "another audience":
      return uaa.issueToken({ ...usual, audience: ["uaa"] });
    case "another issuer":
      return uaa.issueToken({ ...usual, issuer: "https://uaa.example.org/oauth/token" });
    default:
      return uaa.issueToken(usual);
  }
}

/** Tells a Worker's catalog of the pool, and waits until the Worker answers from it. */
async function fill(worker: Workerd, configuration: ConfigurationName, ask: Ask): Promise<void> {
  const present = [...POOL].map(([value, size_in_bytes]) => ({ checksum: { value }, size_in_bytes }));
  const admin = {
    ...{ configuration, method: "POST", headers: {}, caller: "admin" as const, scheme: "bearer" },
    ...{ isCallerFresh: true, isChunked: false },
  } as const;
  const body = Buffer.from(JSON.stringify({ present }));
  const told = await ask({ ...admin, path: `${ENDPOINT}/cache/observations`, body });
  if (told.status !== 200)
    throw new Error(`${told.status}: ${worker.lines.map((line) => JSON.stringify(line))}`);
  const whole = { ...admin, path: ENDPOINT, body: Buffer.from(POOL_BODY) };
  const end = Date.now() + PUBLISHED_MAX_MS;
  for (let lacks: string[] = [""]; lacks.length > 0; await pause(POLL_MS)) {
    lacks = await differencesOf(whole, ask);
    if (lacks.length > 0 && Date.now() > end)
      throw new Error(`the pool is not answered: ${lacks.join("\n")}`);
  }
}
