import { afterEach, describe, expect, it, vi } from "vitest";
import { collectLogs } from "../support/logs.ts";
import { type Claims, signToken } from "../support/tokens.ts";
import { resource, send } from "../support/worker.ts";

const BODY = { resources: [resource(1)] };
const now = () => Math.floor(Date.now() / 1000);

async function statusFor(token: string): Promise<number> {
  return (await send(BODY, { token })).status;
}

afterEach(() => vi.restoreAllMocks());

describe("a valid token", () => {
  it.each<[string, Claims]>([
    ["of a user with cloud_controller.write", {}],
    ["of an admin", { scope: ["cloud_controller.admin"] }],
    [
      "of a client that acts for itself",
      { user_id: undefined, client_id: "ci", scope: ["cloud_controller.write"] },
    ],
    ["whose audience is a text", { aud: "cloud_controller" }],
    ["that expires in a minute", { exp: now() + 60 }],
  ])("accepts a token %s", async (_, changes) => {
    expect(await statusFor(await signToken(changes))).toBe(201);
  });

  it.each(["bearer", "BEARER", "Bearer", "bEaReR"])("accepts a token after %s", async (scheme) => {
    const headers = { Authorization: `${scheme} ${await signToken()}` };
    expect((await send(BODY, { token: null, headers })).status).toBe(201);
  });
});

// attacks.test.ts has many more.
describe("an invalid token", () => {
  it.each<[string, Claims, number]>([
    ["that expires now", { exp: now() }, 401],
    ["with a jti that is not a text", { jti: 7 }, 401],
    ["with a scope that has the same prefix", { scope: ["cloud_controller.writer"] }, 403],
  ])("refuses a token %s", async (_, changes, status) => {
    expect(await statusFor(await signToken(changes))).toBe(status);
  });

  it.each(["garbage", "a.b.c", "null.null.null"])(
    "returns 401 for a token that is garbage: %j",
    async (token) => {
      expect(await statusFor(token)).toBe(401);
    },
  );

  it("logs the reason for refusing a token, but not the token", async () => {
    const logs = collectLogs();
    const token = await signToken({ exp: now() - 1 });
    await statusFor(token);
    expect(logs).toContainEqual(
      expect.objectContaining({
        failure: "invalid-token",
        reason: expect.stringContaining("ERR_JWT_EXPIRED"),
      }),
    );
    expect(JSON.stringify(logs)).not.toContain(token.split(".")[2]);
  });
});
