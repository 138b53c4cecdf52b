import type { webcrypto } from "node:crypto";
import { randomBytes } from "node:crypto";
import { exportJWK, exportSPKI, generateKeyPair, type JWK } from "jose";

/** A key pair of the UAA. */
export interface SigningKey {
  kid: string;
  privateKey: webcrypto.CryptoKey;
  publicKey: webcrypto.CryptoKey;
  /** The public key as `GET /token_keys` returns it: a JWK with the PEM text as `value`. */
  jwk: JWK & { value: string };
}

/** Creates an RSA key of 2048 bits. */
export async function createSigningKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const kid = `key-${randomBytes(4).toString("hex")}`;
  const jwk = {
    ...(await exportJWK(publicKey)),
    use: "sig",
    kid,
    alg: "RS256",
    value: await exportSPKI(publicKey),
  };
  return { kid, privateKey, publicKey, jwk };
}
