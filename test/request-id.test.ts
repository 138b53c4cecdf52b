import { expect, it } from "vitest";
import { resource, send } from "./support/worker.ts";

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

/** The id that the Worker gives to a request with these headers. */
async function idFor(headers: Record<string, string>): Promise<string | null> {
  const response = await send({ resources: [resource(1)] }, { headers });
  return response.headers.get("X-Vcap-Request-Id");
}

it.each([
  ["nothing sent", {}, ""],
  ["X-Vcap-Request-Id", { "X-Vcap-Request-Id": "abc_1-2" }, "abc_1-2::"],
  ["X-Request-Id", { "X-Request-Id": "abc" }, "abc::"],
  ["X-Vcap-Request-Id before X-Request-Id", { "X-Vcap-Request-Id": "vcap", "X-Request-Id": "x" }, "vcap::"],
  ["a blank one counts as none", { "X-Vcap-Request-Id": "  ", "X-Request-Id": "x" }, "x::"],
  ["other characters are stripped", { "X-Request-Id": "a b;c<d>é/::e" }, "abcde::"],
  ["at most 255 characters are kept", { "X-Request-Id": "a".repeat(300) }, `${"a".repeat(255)}::`],
])("%s", async (_, headers, external) => {
  expect(await idFor(headers)).toMatch(new RegExp(`^${external}${UUID}$`));
});
