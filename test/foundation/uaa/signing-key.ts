import type { webcrypto } from "node:crypto";
import { randomBytes } from "node:crypto";
import { exportJWK, exportSPKI, generateKeyPair, generateSecret, type JWK } from "jose";

export type SigningAlgorithm = "RS256" | "HS256";

/** A key of the UAA. For HS256 both keys are the secret that UAA and the Cloud Controller share. */
export interface SigningKey {
  kid: string;
  algorithm: SigningAlgorithm;
  privateKey: webcrypto.CryptoKey;
  publicKey: webcrypto.CryptoKey;
  /** As `GET /token_keys` returns it: a JWK with the PEM text as `value`. Undefined for a secret. */
  jwk?: JWK & { value: string };
}

/** Creates an RSA key of 2048 bits, or a secret of 256 bits. */
export async function createSigningKey(algorithm: SigningAlgorithm = "RS256"): Promise<SigningKey> {
  const kid = `key-${randomBytes(4).toString("hex")}`;
  if (algorithm === "HS256") {
    const secret = (await generateSecret(algorithm)) as webcrypto.CryptoKey;
    return { kid, algorithm, privateKey: secret, publicKey: secret };
  }
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = {
    ...(await exportJWK(publicKey)),
    use: "sig",
    kid,
    alg: algorithm,
    value: await exportSPKI(publicKey),
  };
  return { kid, algorithm, privateKey, publicKey, jwk };
}
