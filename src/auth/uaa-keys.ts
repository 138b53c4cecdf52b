import { importJWK } from "jose";
import * as v from "valibot";
import { Failure } from "../failure.ts";
import { readBody } from "../http/body.ts";
import { WORKER_HEADERS } from "../http/worker-headers.ts";
import { causeOf, type Log } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";

/** The algorithms that UAA signs with. No other is accepted. */
export const UAA_ALGORITHMS = ["RS256", "RS384", "RS512"];

/** Tokens with an unknown key must not cause a fetch each. */
const REFETCH_COOLDOWN_MS = 30_000;
/** Without any key every push fails, so that the next fetch starts much sooner. */
const FIRST_FETCH_COOLDOWN_MS = 1_000;
/** Keys are fetched again at this age. A key that UAA has withdrawn is trusted until then, or until UAA can be reached. */
const KEYS_MAX_AGE_MS = 600_000;
const FETCH_POLL_MS = 20;
/** Some hundred keys. UAA has one or two. */
const TOKEN_KEYS_MAX_BYTES = 1_000_000;
/** A token costs at most this many verifications, of about 0.1 ms. UAA has one or two keys. */
const CANDIDATES_MAX = 8;
/** RFC 7518, section 3.3. jose refuses to verify with a smaller one. */
const RSA_MODULUS_MIN_BITS = 2_048;

/** The JWKS of `UAA_URL/token_keys`. It may have other fields, and keys of other types. */
const TokenKeys = v.object({ keys: v.array(v.unknown()) });
const RsaKey = v.object({
  kty: v.literal("RSA"),
  n: v.string(),
  e: v.string(),
  kid: v.optional(v.string()),
  alg: v.optional(v.string()),
  use: v.optional(v.literal("sig")),
});

/** A verification key of UAA. */
export interface UaaKey {
  algorithm: string;
  kid: string | undefined;
  key: CryptoKey;
}

/** UAA may have the key that a token names, but can't be reached. */
export class KeysUnavailable extends Error {
  override name = "KeysUnavailable";
}

/**
 * The verification keys of one UAA. They are imported once, and stay valid while UAA is down.
 *
 * Requests share the keys but never a promise, because the runtime cancels the I/O of a request with the request. A fetch
 * continues in `waitUntil` if the client of its request disconnects.
 */
export class UaaKeys {
  readonly #url: string;
  #keys: readonly UaaKey[] = [];
  #startedAt = Number.NEGATIVE_INFINITY;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  /** In the past if no fetch is running. A fetch that the runtime cancelled counts as running until its timeout. */
  #fetchingUntil = Number.NEGATIVE_INFINITY;

  /** @param uaaUrl without a trailing slash */
  constructor(uaaUrl: string) {
    this.#url = `${uaaUrl}/token_keys`;
  }

  /**
   * The keys that may verify a token, by its header: the one with its `kid`, or else those of its algorithm that have none. For a token
   * without `kid`, all keys of its algorithm.
   *
   * @returns at most eight
   * @throws KeysUnavailable
   */
  async find(
    { alg, kid }: { alg: string; kid?: string | undefined },
    { log, waitUntil }: RequestContext,
  ): Promise<readonly UaaKey[]> {
    // The header is not verified yet: its kid can be any JSON value.
    if (kid !== undefined && typeof kid !== "string") return [];
    const cached = this.#select(alg, kid);
    if (cached.length > 0) {
      if (Date.now() - this.#fetchedAt > KEYS_MAX_AGE_MS && this.#mayFetch()) waitUntil(this.#fetch(log));
      return cached;
    }
    // Another request may be fetching the keys, or have done so just before. Wait only as long as for one fetch: if UAA hangs, the next
    // request that waits starts to fetch, and then the next.
    const giveUpAt = Date.now() + TIMEOUT_MS.uaaKeys;
    const isFetching = () => Date.now() < this.#fetchingUntil;
    while (isFetching() && Date.now() < giveUpAt) await scheduler.wait(FETCH_POLL_MS);
    if (!isFetching() && this.#mayFetch()) {
      const fetching = this.#fetch(log);
      waitUntil(fetching);
      await fetching;
    }
    const fetched = this.#select(alg, kid);
    if (fetched.length === 0 && this.#fetchedAt < this.#startedAt)
      throw new KeysUnavailable("UAA's keys can't be read");
    return fetched;
  }

  #select(alg: string, kid: string | undefined): UaaKey[] {
    const ofAlgorithm = this.#keys.filter(({ algorithm }) => algorithm === alg);
    const named = ofAlgorithm.filter((key) => kid !== undefined && key.kid === kid);
    const candidates = ofAlgorithm.filter((key) => kid === undefined || key.kid === undefined);
    return (named.length > 0 ? named : candidates).slice(0, CANDIDATES_MAX);
  }

  #mayFetch(): boolean {
    const cooldown = this.#keys.length > 0 ? REFETCH_COOLDOWN_MS : FIRST_FETCH_COOLDOWN_MS;
    return Date.now() - this.#startedAt >= cooldown;
  }

  async #fetch(log: Log): Promise<void> {
    this.#startedAt = Date.now();
    this.#fetchingUntil = this.#startedAt + TIMEOUT_MS.uaaKeys;
    try {
      this.#keys = await withTimeout(TIMEOUT_MS.uaaKeys, fetchKeys(this.#url, log));
      this.#fetchedAt = Date.now();
    } catch (error) {
      log.error("uaa-keys-unavailable", { url: this.#url, cause: causeOf(error), keys: this.#keys.length });
    } finally {
      this.#fetchingUntil = Number.NEGATIVE_INFINITY;
    }
  }
}

async function fetchKeys(url: string, log: Log): Promise<UaaKey[]> {
  const response = await fetch(url, {
    headers: { ...WORKER_HEADERS, Accept: "application/json" },
    redirect: "manual",
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS.uaaKeys),
  });
  if (response.status !== 200) throw new Error(`status ${response.status}`);
  const body = await readBody(response.body, TOKEN_KEYS_MAX_BYTES);
  if (body instanceof Failure) throw new Error(body.reason);
  const { keys } = v.parse(TokenKeys, JSON.parse(new TextDecoder().decode(body)));

  const imported: UaaKey[] = [];
  for (const jwk of keys.filter((key) => v.is(RsaKey, key))) {
    for (const algorithm of jwk.alg === undefined ? UAA_ALGORITHMS : [jwk.alg]) {
      if (!UAA_ALGORITHMS.includes(algorithm)) continue;
      // A key that can't be imported must not prevent the use of the others.
      const key = await importJWK({ kty: jwk.kty, n: jwk.n, e: jwk.e }, algorithm).catch(() => undefined);
      if (!(key instanceof CryptoKey)) continue;
      const { modulusLength = 0 } = key.algorithm as { modulusLength?: number };
      if (modulusLength >= RSA_MODULUS_MIN_BITS) imported.push({ algorithm, kid: jwk.kid, key });
      else log.error("uaa-key-skipped", { kid: jwk.kid, algorithm, bits: modulusLength });
    }
  }
  if (imported.length === 0) {
    throw new Error("no RSA key of at least 2048 bits for RS256, RS384 or RS512");
  }
  return imported;
}
