import { beforeAll, describe, expect, it } from "vitest";
import { expectDocumented } from "../support/documented.ts";
import { ENDPOINT, fillCache, send } from "../support/worker.ts";
import contract from "./cloud-controller-cases.json" with { type: "json" };

interface Case {
  name: string;
  body: string | null;
  repeat?: { resource: object; times: number; then?: object };
  status: number;
  response: unknown;
}

function bodyOf({ body, repeat }: Case): string {
  if (!repeat) return body ?? "";
  const resources = Array<object>(repeat.times).fill(repeat.resource);
  return JSON.stringify({ resources: repeat.then ? [...resources, repeat.then] : resources });
}

describe("the contract of the Cloud Controller", () => {
  beforeAll(() =>
    fillCache(...contract.pool.map(({ sha1, size }) => ({ checksum: { value: sha1 }, size_in_bytes: size }))),
  );

  it.each(contract.cases as Case[])(
    "returns $status as the Cloud Controller does: $name (R2.4)",
    async (contractCase) => {
      const body = bodyOf(contractCase);
      const response = await send(body);

      expect(response.status).toBe(contractCase.status);
      expect(response.headers.get("Content-Type")).toBe("application/json; charset=utf-8");
      await expectDocumented({ method: "POST", url: ENDPOINT }, response, { sent: body });
      // As text, because the order of the members matters.
      expect(await response.text()).toBe(JSON.stringify(contractCase.response));
    },
  );
});
