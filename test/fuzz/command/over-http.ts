import { setTimeout as pause } from "node:timers/promises";
import { createSigningKey } from "../../foundation/uaa/signing-key.ts";
import { signToken } from "../../foundation/uaa/token.ts";
import { startUaa, type Uaa } from "../../foundation/uaa/uaa.ts";
import { bundleWorker } from "../../support/node/bundle.ts";
import { startWorkerd, type Workerd } from "../../support/node/workerd.ts";
import { explain, findDifferences } from "../difference.ts";
import { BODY_MAX_BYTES } from "../generate-body.ts";
import { generateRequest } from "../generate-request.ts";
import { POOL, POOL_BODY } from "../pool.ts";
import {
  authorizations,
  type Caller,
  CONFIGURATIONS,
  type ConfigurationName,
  SCOPES,
  type Send,
} from "../request.ts";

const DAY_SECONDS = 86_400;
const CONNECTIONS = 8;
const ATTEMPTS = 10;
/** An isolate caches a missing manifest for up to 45 s. */
const PUBLISHED_MAX_MS = 90_000;
const POLL_MS = 200;
const ENDPOINT = "/v3/resource_matches";

/**
 * Fuzzes a Worker for each configuration, in its own workerd.
 *
 * @returns the exit code: 1 if a response differs from the oracle's
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

  const sendOnce: Send = async (request) => {
    const { configuration, method, path, headers } = request;
    const worker = workers[configuration];
    worker.lines.length = 0;
    const response = await fetch(worker.url + path, {
      method,
      headers: { ...headers, ...(await authorizationOf(request)) },
      ...(method === "GET"
        ? {}
        : { body: request.isChunked ? new Response(request.body).body : request.body, duplex: "half" }),
    } as RequestInit);
    return { status: response.status, headers: response.headers, body: await response.bytes() };
  };
  // A client that gets 413 while it sends the body may see a broken pipe instead.
  const send: Send = async (request) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await sendOnce(request);
      } catch (error) {
        if (request.body.length <= BODY_MAX_BYTES || attempt === ATTEMPTS) throw error;
      }
    }
  };

  try {
    const names = Object.keys(CONFIGURATIONS) as ConfigurationName[];
    await Promise.all(names.map((name) => fill(workers[name], name, send)));
    const statuses: Record<number, number> = {};
    let next = seed;
    let failure: string | undefined;
    const client = async () => {
      while (next < seed + cases && failure === undefined) {
        const ownSeed = next++;
        const request = generateRequest(ownSeed);
        const differences = await findDifferences(request, async (request) => {
          const response = await send(request);
          statuses[response.status] = (statuses[response.status] ?? 0) + 1;
          return response;
        });
        if (differences.length > 0) failure ??= await explain(ownSeed, request, send, " --http");
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, client));
    console.log(failure ?? `${cases} requests from seed ${seed} over HTTP: ${JSON.stringify(statuses)}`);
    return failure === undefined ? 0 : 1;
  } finally {
    await Promise.all([uaa.close(), ...Object.values(workers).map((worker) => worker.stop())]);
  }
}

/** A token of a new user. */
async function tokenOf(uaa: Uaa, caller: Caller): Promise<string> {
  const user = { id: crypto.randomUUID(), name: caller };
  const scopes = SCOPES[caller] ?? SCOPES.developer ?? [];
  const options = { user, scopes, lifetime: DAY_SECONDS };
  switch (caller) {
    case "garbage":
      return "eyJhbGciOiJub25lIn0.e30.";
    case "expired":
      return uaa.issueToken({ ...options, lifetime: -DAY_SECONDS });
    case "foreign": {
      const { kid } = uaa.signingKey();
      return signToken({ key: { ...(await createSigningKey()), kid }, issuer: uaa.issuer }, options);
    }
    case "refresh":
      return uaa.issueToken({ ...options, refresh: true });
    case "another audience":
      return uaa.issueToken({ ...options, audience: ["uaa"] });
    case "another issuer":
      return uaa.issueToken({ ...options, issuer: "https://uaa.example.org/oauth/token" });
    default:
      return uaa.issueToken(options);
  }
}

/** Reports the pool to a Worker's catalog, and waits until the Worker matches it. */
async function fill(worker: Workerd, configuration: ConfigurationName, send: Send): Promise<void> {
  const present = [...POOL].map(([value, size_in_bytes]) => ({ checksum: { value }, size_in_bytes }));
  const admin = {
    configuration,
    method: "POST",
    headers: {},
    caller: "admin",
    scheme: "bearer",
    isNewCaller: true,
    isChunked: false,
  } as const;
  const body = Buffer.from(JSON.stringify({ present }));
  const response = await send({ ...admin, path: `${ENDPOINT}/cache/observations`, body });
  if (response.status !== 200)
    throw new Error(`${response.status}: ${worker.lines.map((line) => JSON.stringify(line))}`);
  const whole = { ...admin, path: ENDPOINT, body: Buffer.from(POOL_BODY) };
  const end = Date.now() + PUBLISHED_MAX_MS;
  for (let differences: string[] = [""]; differences.length > 0; await pause(POLL_MS)) {
    differences = await findDifferences(whole, send);
    if (differences.length > 0 && Date.now() > end)
      throw new Error(`the pool is not matched: ${differences.join("\n")}`);
  }
}
