import { generateKeyPairSync, sign } from "node:crypto";
import type { Random } from "../random.ts";
import { currentInvocation, type Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";
import { callRemote } from "./remote.ts";

export type UaaFaultKind = "error" | "hang" | "slow";

export const UAA_URL = "https://uaa.example.com";
const SLOW_MS = [600, 5_000] as const;

/** A token names the key that signed it. All keys have these numbers, so that a schedule generates none. */
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const JWK = { ...publicKey.export({ format: "jwk" }), alg: "RS256", use: "sig" };
const EXPIRES_AT_SECONDS = Date.UTC(2100, 0) / 1000;
const tokens = new Map<string, string>();

/** UAA: issues tokens, and serves the keys that verify them. */
export class Uaa {
  readonly #kernel: Kernel;
  readonly #random: Random;
  readonly faults: { from: number; until: number; how: UaaFaultKind }[] = [];
  /** Faults of all calls of one request, by the request's id. */
  readonly faultsByRequest = new Map<string, UaaFaultKind>();
  /** When a call with a fault was sent, by the process that sent it. */
  readonly #failedCalls = new Map<Process, number>();
  /** The number of the newest key, and since when it signs. */
  key = 1;
  keySince = -Infinity;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#random = kernel.random.fork("uaa");
  }

  /** Signs with a new key from now on. The older ones are still served. */
  addKey(): void {
    this.key += 1;
    this.keySince = this.#kernel.now;
    this.#kernel.note(`uaa: signs with key ${this.key}`);
  }

  /** An access token of a user who may push. */
  token(caller: string): string {
    return tokenOf(caller, `key-${this.key}`);
  }

  /** When the latest call of a process with a fault was sent; -Infinity if there was none. */
  failedAt(process: Process): number {
    return this.#failedCalls.get(process) ?? -Infinity;
  }

  readonly fetch = async (): Promise<Response> => {
    const { name = "", process } = currentInvocation() ?? {};
    const text = await callRemote<string | undefined>(this.#kernel, (reply) => {
      const { now } = this.#kernel;
      const how =
        this.faultsByRequest.get(name) ??
        this.faults.find(({ from, until }) => from <= now && now < until)?.how;
      if (how && process) this.#failedCalls.set(process, now);
      if (how === "hang") return;
      const ms = how === "slow" ? this.#random.integer(...SLOW_MS) : this.#random.integer(1, 20);
      const keys = Array.from({ length: this.key }, (_, index) => ({ ...JWK, kid: `key-${index + 1}` }));
      const value = how === "error" ? undefined : JSON.stringify({ keys });
      this.#kernel.after(ms, () => reply({ value }));
    });
    return text === undefined ? new Response("<html>", { status: 502 }) : new Response(text);
  };
}

/** Signs a token. Signing takes long, so each token is signed once. */
function tokenOf(caller: string, kid: string): string {
  const name = `${kid} ${caller}`;
  let token = tokens.get(name);
  if (!token) {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = {
      jti: name,
      user_id: caller,
      scope: ["cloud_controller.write"],
      iss: `${UAA_URL}/oauth/token`,
      aud: ["cloud_controller"],
      exp: EXPIRES_AT_SECONDS,
    };
    const signed = `${part({ alg: "RS256", kid })}.${part(claims)}`;
    token = `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`;
    tokens.set(name, token);
  }
  return token;
}
