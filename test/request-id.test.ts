import { expect, it } from "vitest";
import { resource, send } from "./support/worker.ts";

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

async function idFor(headers: Record<string, string>): Promise<string | null> {
  const response = await send({ resources: [resource(1)] }, { headers });
  return response.headers.get("X-Vcap-Request-Id");
}

it.each([
  ["is a UUID if the client sends none", {}, ""],
  ["starts with X-Vcap-Request-Id", { "X-Vcap-Request-Id": "abc_1-2" }, "abc_1-2::"],
  ["starts with X-Request-Id", { "X-Request-Id": "abc" }, "abc::"],
  [
    "starts with X-Vcap-Request-Id if both are sent",
    { "X-Vcap-Request-Id": "vcap", "X-Request-Id": "x" },
    "vcap::",
  ],
  ["ignores a blank header", { "X-Vcap-Request-Id": "  ", "X-Request-Id": "x" }, "x::"],
  ["drops other characters than letters, digits, - and _", { "X-Request-Id": "a b;c<d>é/::e" }, "abcde::"],
  ["keeps at most 255 characters", { "X-Request-Id": "a".repeat(300) }, `${"a".repeat(255)}::`],
])("X-Vcap-Request-Id of a response %s", async (_, headers, external) => {
  expect(await idFor(headers)).toMatch(new RegExp(`^${external}${UUID}$`));
});
