import type { Caller } from "./authentication.ts";

/** Pushes that go on at a time in one isolate are fewer; a token of UAA has about 1.5 KB. */
const TOKENS_MAX = 100;

interface Verified {
  caller: Caller;
  /** What verified it: another key in its place, and the token is verified anew. */
  key: CryptoKey;
  alg: string;
  kid: string | undefined;
  /** ms since the epoch. */
  expiresAt: number;
}

/** Tokens that have been verified, by their full text, so that the requests of one push are verified once. */
export class VerifiedTokens {
  readonly #tokens = new Map<string, Verified>();

  /** What was found of a token that has not expired. */
  recall(token: string, now: number): Verified | undefined {
    const verified = this.#tokens.get(token);
    return verified && now < verified.expiresAt ? verified : undefined;
  }

  remember(token: string, verified: Verified): void {
    this.#tokens.delete(token);
    this.#tokens.set(token, verified);
    const [oldest] = this.#tokens.keys();
    if (this.#tokens.size > TOKENS_MAX && oldest !== undefined) this.#tokens.delete(oldest);
  }
}
