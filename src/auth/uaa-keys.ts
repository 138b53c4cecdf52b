import { importJWK } from "jose";
import * as v from "valibot";
import { Failure } from "../failure.ts";
import { readBody } from "../http/body.ts";
import { causeOf, type Log } from "../observability/log.ts";
import type { RequestContext } from "../request-context.ts";
import { withTimeout } from "../time/deadline.ts";
import { TIMEOUT_MS } from "../time/time-guarantees.ts";

/** UAA's own signing algorithms; nothing else is ever tried. */
export const UAA_ALGORITHMS = ["RS256", "RS384", "RS512"];

/** A token of a new key must not make every request ask UAA. */
const REFETCH_COOLDOWN_MS = 30_000;
/** With no key at all every push fails: then it is worth asking much sooner. */
const FIRST_FETCH_COOLDOWN_MS = 1_000;
/** A key that UAA has withdrawn is trusted no longer than this, as long as UAA can be reached. */
const KEYS_MAX_AGE_MS = 600_000;
const FETCH_POLL_MS = 20;
/** Some hundred keys; UAA has one or two. */
const TOKEN_KEYS_MAX_BYTES = 1_000_000;
/** RFC 7518, section 3.3: whoever can factor a smaller one makes tokens. The library refuses to verify with it. */
const RSA_MODULUS_MIN_BITS = 2_048;

/** `UAA_URL/token_keys`: a JWKS with more fields than are of use here, and keys of other kinds. */
const TokenKeys = v.object({ keys: v.array(v.unknown()) });
const RsaKey = v.object({
  kty: v.literal("RSA"),
  n: v.string(),
  e: v.string(),
  kid: v.optional(v.string()),
  alg: v.optional(v.string()),
  use: v.optional(v.literal("sig")),
});

/** UAA could not be asked for the key that a token names. */
export class KeysUnavailable extends Error {
  override name = "KeysUnavailable";
}

/**
 * The verification keys of one UAA, imported once and kept for the life of the isolate. Held keys go on
 * serving while UAA is down.
 *
 * Requests share the keys but never a promise: the runtime drops a request's I/O with the request. A fetch of the keys
 * belongs to the isolate, though: it goes on when the client that it began for hangs up.
 */
export class UaaKeys {
  readonly #url: string;
  #keys = new Map<string, CryptoKey>();
  #startedAt = Number.NEGATIVE_INFINITY;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #fetching = false;

  /** @param uaaUrl without a slash at its end */
  constructor(uaaUrl: string) {
    this.#url = `${uaaUrl}/token_keys`;
  }

  /**
   * The key for a token's header, or undefined where UAA has no such key.
   *
   * @throws KeysUnavailable where UAA may have it but can't be asked
   */
  async find(
    { alg, kid }: { alg: string; kid?: string | undefined },
    { log, waitUntil }: Pick<RequestContext, "log" | "waitUntil">,
  ): Promise<CryptoKey | undefined> {
    // A token's header holds whatever who made it wanted: no key has such a name, whatever UAA says.
    if (kid !== undefined && typeof kid !== "string") return undefined;
    const held = this.#select(alg, kid);
    if (held) {
      if (Date.now() - this.#fetchedAt > KEYS_MAX_AGE_MS && this.#mayFetch()) waitUntil(this.#fetch(log));
      return held;
    }
    await this.#refetched(log, waitUntil);
    const fetched = this.#select(alg, kid);
    if (!fetched && this.#fetchedAt < this.#startedAt) throw new KeysUnavailable("UAA's keys can't be read");
    return fetched;
  }

  /** A token without kid is matched where there is no choice. */
  #select(alg: string, kid: string | undefined): CryptoKey | undefined {
    if (kid !== undefined) return this.#keys.get(`${alg} ${kid}`);
    const candidates = [...this.#keys].filter(([name]) => name.startsWith(`${alg} `));
    return candidates.length === 1 ? candidates[0]?.[1] : undefined;
  }

  #mayFetch(): boolean {
    const cooldown = this.#keys.size > 0 ? REFETCH_COOLDOWN_MS : FIRST_FETCH_COOLDOWN_MS;
    return Date.now() - this.#startedAt >= cooldown;
  }

  /** Waits for a fetch of the keys, which may be another request's; none begins before its time. */
  async #refetched(log: Log, waitUntil: RequestContext["waitUntil"]): Promise<void> {
    while (this.#isFetching()) await scheduler.wait(FETCH_POLL_MS);
    if (!this.#mayFetch()) return;
    const fetching = this.#fetch(log);
    waitUntil(fetching);
    await fetching;
  }

  /** Not for longer than a fetch takes at most: what was dropped all the same is over. */
  #isFetching(): boolean {
    return this.#fetching && Date.now() - this.#startedAt < TIMEOUT_MS.uaaKeys;
  }

  async #fetch(log: Log): Promise<void> {
    this.#startedAt = Date.now();
    this.#fetching = true;
    try {
      this.#keys = await withTimeout(TIMEOUT_MS.uaaKeys, fetchKeys(this.#url, log));
      this.#fetchedAt = Date.now();
    } catch (error) {
      log.error("uaa-keys-unavailable", { url: this.#url, cause: causeOf(error), held: this.#keys.size });
    } finally {
      this.#fetching = false;
    }
  }
}

async function fetchKeys(url: string, log: Log): Promise<Map<string, CryptoKey>> {
  const response = await fetch(url, {
    headers: { Accept: "application/json" },
    redirect: "manual",
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS.uaaKeys),
  });
  if (response.status !== 200) throw new Error(`status ${response.status}`);
  const body = await readBody(response.body, TOKEN_KEYS_MAX_BYTES);
  if (body instanceof Failure) throw new Error(body.reason);
  const { keys } = v.parse(TokenKeys, JSON.parse(new TextDecoder().decode(body)));

  const imported = new Map<string, CryptoKey>();
  for (const jwk of keys.filter((key) => v.is(RsaKey, key))) {
    for (const algorithm of jwk.alg === undefined ? UAA_ALGORITHMS : [jwk.alg]) {
      if (!UAA_ALGORITHMS.includes(algorithm)) continue;
      // A key that can't be imported must not take the others with it.
      const key = await importJWK({ kty: jwk.kty, n: jwk.n, e: jwk.e }, algorithm).catch(() => undefined);
      if (!(key instanceof CryptoKey)) continue;
      const { modulusLength = 0 } = key.algorithm as { modulusLength?: number };
      if (modulusLength >= RSA_MODULUS_MIN_BITS) imported.set(`${algorithm} ${jwk.kid ?? ""}`, key);
      else log.error("uaa-key-skipped", { kid: jwk.kid, algorithm, bits: modulusLength });
    }
  }
  if (imported.size === 0)
    throw new Error("no RSA key of 2048 bits or more for RS256, RS384 or RS512 among them");
  return imported;
}
