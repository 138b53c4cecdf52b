import { env } from "cloudflare:workers";
import { base64url, type CryptoKey, exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT } from "jose";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { collectLogs } from "../support/logs.ts";
import { type Cell, markdownTable } from "../support/table.ts";
import { createClaims, generateRsaKeys, ISSUER, signRawToken, signToken } from "../support/tokens.ts";
import { resource, sendWithEnv } from "../support/worker.ts";

/**
 * Attacks on the token. `npx vitest run test/auth/attacks --silent=false` prints a table of them with the responses.
 */
const BODY = { resources: [resource(1)] };
const EVIL = "https://evil.example.com/keys";
const FUZZED = 300;

const encode = (value: unknown) =>
  base64url.encode(typeof value === "string" ? value : JSON.stringify(value));
const now = () => Math.floor(Date.now() / 1000);
const HEADER = { alg: "RS256", kid: "key-1", typ: "JWT" };
/** The attacker has keys, but not UAA's. */
const attacker = await generateKeyPair("RS256", { extractable: true });
const attackerJwk = { ...(await exportJWK(attacker.publicKey)), alg: "RS256" };
const attackerKey = attacker.privateKey as CryptoKey;
const small = await generateRsaKeys(1024);
const smallJwk = { ...(await exportJWK(small.publicKey)), kid: "small", alg: "RS256" };
const { kty = "RSA", n = "", e = "" } = env.TEST_UAA_KEY;
const uaaJwk = { kty, n, e, kid: "key-1", alg: "RS256" };
const publicKey = (await importJWK({ kty, n, e }, "RS256", { extractable: true })) as CryptoKey;
const pem = await exportSPKI(publicKey);

const signedByUaa = (changes: object, header: object = {}) =>
  signRawToken({ ...HEADER, ...header }, createClaims({ ...changes }));
const signedByAttacker = (header: object = {}, key = attackerKey) =>
  signRawToken({ ...HEADER, ...header }, createClaims(), key);
const hmac = (alg: string, secret: string | Uint8Array) =>
  new SignJWT(createClaims())
    .setProtectedHeader({ ...HEADER, alg })
    .sign(typeof secret === "string" ? new TextEncoder().encode(secret) : secret);
/** The parts of a valid token. */
const parts = async () => (await signToken()).split(".") as [string, string, string];
const withPart = async (index: number, change: (part: string) => string) => {
  const all = await parts();
  all[index] = change(all[index] as string);
  return all.join(".");
};
const flipped = (part: string, at: number) => {
  const bytes = base64url.decode(part);
  bytes[at < 0 ? bytes.length + at : at] = (bytes[at < 0 ? bytes.length + at : at] as number) ^ 1;
  return base64url.encode(bytes);
};
const otherAlgorithm = async (alg: string) => {
  const key = await importJWK({ ...env.TEST_UAA_KEY, alg }, alg);
  return new SignJWT(createClaims()).setProtectedHeader({ ...HEADER, alg }).sign(key);
};
const elliptic = async (alg: string) => {
  const { privateKey } = await generateKeyPair(alg);
  return new SignJWT(createClaims()).setProtectedHeader({ ...HEADER, alg }).sign(privateKey);
};

type Attack = [name: string, token: () => string | Promise<string>, status?: number];

/** The status is 401 unless given. */
const ATTACKS: Record<string, Attack[]> = {
  "an invalid signature": [
    ["alg none", () => `${encode({ ...HEADER, alg: "none" })}.${encode(createClaims())}.`],
    ["alg None", () => `${encode({ ...HEADER, alg: "None" })}.${encode(createClaims())}.`],
    [
      "alg none, with a signature",
      async () => [encode({ alg: "none" }), ...(await parts()).slice(1)].join("."),
    ],
    ["alg empty", () => `${encode({ ...HEADER, alg: "" })}.${encode(createClaims())}.`],
    ["alg absent", () => `${encode({ kid: "key-1" })}.${encode(createClaims())}.`],
    ["signature cut off", () => withPart(2, () => "")],
    ["signature of zeros", () => withPart(2, () => base64url.encode(new Uint8Array(256)))],
    ["signature of ones", () => withPart(2, () => base64url.encode(new Uint8Array(256).fill(255)))],
    ["first bit of the signature", () => withPart(2, (part) => flipped(part, 0))],
    ["last bit of the signature", () => withPart(2, (part) => flipped(part, -1))],
    [
      "signature one byte shorter",
      () => withPart(2, (part) => base64url.encode(base64url.decode(part).slice(0, -1))),
    ],
    [
      "signature one byte longer",
      () => withPart(2, (part) => base64url.encode(new Uint8Array([...base64url.decode(part), 0]))),
    ],
    ["signature twice", () => withPart(2, (part) => `${part}.${part}`)],
    [
      "signature of another token",
      async () => withPart(2, () => "").then(async (token) => token + (await parts())[2]),
    ],
  ],
  "another algorithm": [
    ["HS256 with UAA's PEM as its secret", () => hmac("HS256", pem)],
    ["HS256 with the PEM and no line at its end", () => hmac("HS256", pem.trim())],
    ["HS384 with UAA's PEM", () => hmac("HS384", pem)],
    ["HS512 with UAA's PEM", () => hmac("HS512", pem)],
    ["HS256 with UAA's modulus", () => hmac("HS256", base64url.decode(n))],
    ["HS256 with UAA's JWK", () => hmac("HS256", JSON.stringify(uaaJwk))],
    ["PS256 with UAA's own key", () => otherAlgorithm("PS256")],
    ["RS384 with UAA's own key, which is for RS256", () => otherAlgorithm("RS384")],
    ["RS512 with UAA's own key", () => otherAlgorithm("RS512")],
    ["ES256", () => elliptic("ES256")],
    ["EdDSA", () => elliptic("EdDSA")],
    ["RS1", () => signedByUaa({}, { alg: "RS1" })],
    ["rs256", () => signedByUaa({}, { alg: "rs256" })],
    ["alg with a blank", () => signedByUaa({}, { alg: "RS256 " })],
    ["alg an array", () => signedByUaa({}, { alg: ["RS256"] })],
    ["alg a number", () => signedByUaa({}, { alg: 256 })],
    ["alg that is a member of every object", () => signedByUaa({}, { alg: "constructor" })],
  ],
  "a key of the attacker": [
    ["under UAA's kid", () => signedByAttacker()],
    ["without kid", () => signedByAttacker({ kid: undefined })],
    ["jwk in the header", () => signedByAttacker({ jwk: attackerJwk })],
    ["jwk in the header, without kid", () => signedByAttacker({ jwk: attackerJwk, kid: undefined })],
    ["jku in the header", () => signedByAttacker({ jku: EVIL, kid: "attacker" })],
    ["x5u in the header", () => signedByAttacker({ x5u: EVIL, kid: "attacker" })],
    ["x5c in the header", () => signedByAttacker({ x5c: ["MIIB"], kid: "attacker" })],
    ["x5t in the header", () => signedByAttacker({ x5t: "AAAA", "x5t#S256": "AAAA" })],
    [
      "a key below 2048 bits that UAA serves",
      () => signedByAttacker({ kid: "small" }, small.privateKey as CryptoKey),
    ],
  ],
  "a wrong kid": [
    ["unknown", () => signedByUaa({}, { kid: "key-2" })],
    ["a path", () => signedByAttacker({ kid: "../../dev/null" })],
    ["a URL", () => signedByAttacker({ kid: EVIL })],
    ["SQL", () => signedByAttacker({ kid: "x' UNION SELECT 'key" })],
    ["UAA's, with a blank", () => signedByUaa({}, { kid: "key-1 " })],
    ["UAA's, with a NUL", () => signedByUaa({}, { kid: "key-1\0" })],
    ["UAA's, in capitals", () => signedByUaa({}, { kid: "KEY-1" })],
    ["an algorithm before it", () => signedByUaa({}, { kid: "RS256 key-1" })],
    ["empty", () => signedByUaa({}, { kid: "" })],
    ["null", () => signedByUaa({}, { kid: null })],
    ["an array of UAA's", () => signedByUaa({}, { kid: ["key-1"] })],
    ["an object", () => signedByUaa({}, { kid: { toString: 1, valueOf: 1 } })],
    ["__proto__", () => signedByAttacker({ kid: "__proto__" })],
    ["100 KB long", () => signedByAttacker({ kid: "k".repeat(100_000) })],
  ],
  "an unusual header": [
    ["crit of an unknown name", () => signedByUaa({}, { crit: ["x"], x: 1 })],
    ["crit empty", () => signedByUaa({}, { crit: [] })],
    ["crit of alg", () => signedByUaa({}, { crit: ["alg"] })],
    ["crit not an array", () => signedByUaa({}, { crit: "exp" })],
    ["crit of b64, which is false", () => signedByUaa({}, { crit: ["b64"], b64: false })],
    ["enc, as if encrypted", () => signedByAttacker({ enc: "A256GCM", alg: "dir" })],
    ["zip", () => signedByAttacker({ zip: "DEF" })],
    [
      "alg twice, the last none",
      () => signRawToken('{"alg":"RS256","kid":"key-1","alg":"none"}', createClaims()),
    ],
    ["an array", () => signRawToken([], createClaims())],
    ["null", () => signRawToken("null", createClaims())],
    ["a number", () => signRawToken("1", createClaims())],
    ["not JSON", () => signRawToken("{", createClaims())],
    [
      "not UTF-8",
      async () => [base64url.encode(new Uint8Array([0xff, 0xfe])), ...(await parts()).slice(1)].join("."),
    ],
  ],
  "a text that is not a token": [
    ["nothing", () => ""],
    ["dots", () => ".."],
    ["two parts", async () => (await parts()).slice(0, 2).join(".")],
    ["four parts", async () => `${await signToken()}.e30`],
    ["five parts, as if encrypted", () => "e30.e30.e30.e30.e30"],
    ["two tokens", async () => `${await signToken()} ${await signToken()}`],
    ["a comma between two", async () => `${await signToken()}, Bearer ${await signToken()}`],
    ["a dot at its end", async () => `${await signToken()}.`],
    ["in quotes", async () => `"${await signToken()}"`],
    ["a letter that is not base64url", () => withPart(1, (part) => `${part.slice(0, -4)}*${part.slice(-3)}`)],
    ["another payload", () => withPart(1, () => encode(createClaims({ scope: ["cloud_controller.admin"] })))],
    ["one bit of the payload", () => withPart(1, (part) => flipped(part, 30))],
    ["1 MB of a letter", () => "a".repeat(1_000_000)],
    ["1 MB of dots", () => ".".repeat(1_000_000)],
  ],
  "an invalid payload": [
    ["not JSON", () => signRawToken(HEADER, "{")],
    ["an array", () => signRawToken(HEADER, [createClaims()])],
    ["null", () => signRawToken(HEADER, "null")],
    ["a text", () => signRawToken(HEADER, '"text"')],
    ["expired a second ago", () => signedByUaa({ exp: now() - 1 })],
    ["exp a text", () => signedByUaa({ exp: String(now() + 600) })],
    ["exp an array", () => signedByUaa({ exp: [now() + 600] })],
    ["exp null", () => signedByUaa({ exp: null })],
    ["exp true", () => signedByUaa({ exp: true })],
    ["exp negative", () => signedByUaa({ exp: -1 })],
    ["exp absent", () => signedByUaa({ exp: undefined })],
    [
      "exp twice, the last past",
      () => signRawToken(HEADER, `${JSON.stringify(createClaims()).slice(0, -1)},"exp":1}`),
    ],
    ["nbf in the future", () => signedByUaa({ nbf: now() + 600 })],
    ["nbf a text", () => signedByUaa({ nbf: "0" })],
    ["iat a text", () => signedByUaa({ iat: "now" })],
    ["iss of another issuer", () => signedByUaa({ iss: "https://evil.example.com/oauth/token" })],
    ["iss with a slash more", () => signedByUaa({ iss: `${ISSUER}/` })],
    ["iss in capitals", () => signedByUaa({ iss: ISSUER.toUpperCase() })],
    ["iss an array", () => signedByUaa({ iss: [ISSUER] })],
    ["iss absent", () => signedByUaa({ iss: undefined })],
    ["aud of another audience", () => signedByUaa({ aud: ["uaa"] })],
    ["aud with the same prefix", () => signedByUaa({ aud: ["cloud_controller2"] })],
    ["aud an object", () => signedByUaa({ aud: { cloud_controller: true } })],
    ["aud with arrays in it", () => signedByUaa({ aud: [["cloud_controller"]] })],
    ["aud absent", () => signedByUaa({ aud: undefined })],
    ["a refresh token", () => signedByUaa({ jti: "0123-r" })],
    ["jti absent", () => signedByUaa({ jti: undefined })],
    ["jti an array", () => signedByUaa({ jti: ["0123"] })],
    ["jti empty", () => signedByUaa({ jti: "" })],
    ["user_id and client_id absent", () => signedByUaa({ user_id: undefined, client_id: undefined })],
    ["user_id an object", () => signedByUaa({ user_id: { id: 1 } })],
    ["user_id empty", () => signedByUaa({ user_id: "" })],
  ],
  "an insufficient scope": [
    ["none", () => signedByUaa({ scope: [] }), 403],
    ["absent", () => signedByUaa({ scope: undefined }), 403],
    ["a text", () => signedByUaa({ scope: "cloud_controller.write" }), 403],
    ["an object", () => signedByUaa({ scope: { "cloud_controller.admin": true } }), 403],
    ["in capitals", () => signedByUaa({ scope: ["CLOUD_CONTROLLER.WRITE"] }), 403],
    ["with a blank", () => signedByUaa({ scope: ["cloud_controller.write "] }), 403],
    ["all in one", () => signedByUaa({ scope: ["openid cloud_controller.write"] }), 403],
    ["with arrays in it", () => signedByUaa({ scope: [["cloud_controller.admin"]] }), 403],
    ["a star", () => signedByUaa({ scope: ["*"] }), 403],
    ["under authorities", () => signedByUaa({ scope: [], authorities: ["cloud_controller.admin"] }), 403],
    ["to read only", () => signedByUaa({ scope: ["cloud_controller.admin_read_only"] }), 403],
  ],
};

const rows: Cell[][] = [];
let isolate: object;
let logs: Record<string, unknown>[];
const fetchedUrls: string[] = [];

async function responseTo(token: string): Promise<{ status: number; title: string }> {
  const response = await sendWithEnv(isolate, BODY, {
    token: null,
    headers: { Authorization: `Bearer ${token}` },
  });
  const { errors } = await response.json<{ errors?: { title: string }[] }>();
  return { status: response.status, title: errors?.[0]?.title ?? "" };
}

beforeEach(() => {
  isolate ??= { ...env };
  logs = collectLogs();
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
    fetchedUrls.push(String(input));
    return Response.json({ keys: [uaaJwk, smallJwk] });
  });
});
afterEach(() => vi.restoreAllMocks());
afterAll(() => console.log(markdownTable(["group", "attack", "status", "title", "reason"], rows)));

describe.each(Object.entries(ATTACKS))("attacks on a token with %s", (group, attacks) => {
  it.each(attacks)(`refuses a token with ${group}: %s`, async (name, token, status = 401) => {
    const response = await responseTo(await token());
    const reason = logs.find(({ event }) => event === "refused")?.reason;
    rows.push([group, name, response.status, response.title, String(reason).slice(0, 80)]);
    expect(response).toEqual({ status, title: status === 401 ? "CF-InvalidAuthToken" : "CF-NotAuthorized" });
    expect(logs.filter(({ level }) => level === "error").map(({ event }) => event)).toEqual(
      logs.filter(({ event }) => event === "uaa-key-skipped").map(({ event }) => event),
    );
  });
});

it("fetches keys only from UAA during all attacks", () => {
  expect(new Set(fetchedUrls)).toEqual(new Set([`${env.UAA_URL}/token_keys`]));
});

it("accepts a valid token after all attacks", async () => {
  expect((await responseTo(await signToken())).status).toBe(201);
});

it("returns 401, never a 5xx, for a token with any change (R2.4)", async () => {
  const token = await signToken();
  let seed = 13;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((seed / 0x80000000) * below);
  };
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ~"{}%,;';
  for (let round = 0; round < FUZZED; round++) {
    const at = random(token.length);
    const letter = LETTERS[random(LETTERS.length)] as string;
    const end = at + random(3);
    const changed = token.slice(0, at) + letter.repeat(random(3)) + token.slice(end);
    // The last letter of a signature has unused bits.
    if (at >= token.length - 1 || changed === token) continue;
    expect([changed, (await responseTo(changed)).status]).toEqual([changed, 401]);
  }
});
