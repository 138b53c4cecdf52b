import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

/** A UAA with one key. Unlike the local foundation, it makes tokens for many users. */
export interface Uaa {
  url: string;
  /** Issues a token that is valid for a day: some sections advance the clock. */
  issueToken(user: string): Promise<string>;
  stop(): void;
}

export async function startUaa(): Promise<Uaa> {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const keys = [{ ...(await exportJWK(publicKey)), kid: "key-1", alg: "RS256", use: "sig" }];
  const server = createServer((_, response) => response.end(JSON.stringify({ keys })));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issueToken = (user: string) =>
    new SignJWT({
      jti: "b4ba1dd2f5d04e7fa3f0ee2b2e5cd1b5",
      user_id: user,
      client_id: "cf",
      scope: ["openid", "cloud_controller.read", "cloud_controller.write"],
    })
      .setProtectedHeader({ alg: "RS256", kid: "key-1", typ: "JWT" })
      .setIssuer(`${url}/oauth/token`)
      .setAudience(["cloud_controller", "cf"])
      .setExpirationTime("1d")
      .sign(privateKey);
  return { url, issueToken, stop: () => server.close() };
}
