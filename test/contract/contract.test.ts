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

describe("the Cloud Controller's answers, case by case", () => {
  beforeAll(() =>
    fillCache(...contract.pool.map(({ sha1, size }) => ({ checksum: { value: sha1 }, size_in_bytes: size }))),
  );

  it.each(contract.cases as Case[])("$name: $status", async (row) => {
    const body = bodyOf(row);
    const response = await send(body);

    expect(response.status).toBe(row.status);
    expect(response.headers.get("Content-Type")).toBe("application/json; charset=utf-8");
    await expectDocumented({ method: "POST", url: ENDPOINT }, response, { sent: body });
    // As text, for the order of the members is part of it.
    expect(await response.text()).toBe(JSON.stringify(row.response));
  });
});
