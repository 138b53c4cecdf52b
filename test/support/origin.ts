import { vi } from "vitest";
import type { SentResource } from "./worker.ts";

export const CLOUD_CONTROLLER_URL = "https://cc.internal.example.com";

type Answer = (request: Request) => Response | Promise<Response>;

/** What the Worker fetches from the Cloud Controller is answered by `answer`, and kept; UAA goes on as it is. */
export function fakeCloudController(answer: Answer) {
  const requests: Request[] = [];
  const real = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as Request, init as RequestInit);
    if (new URL(request.url).pathname === "/token_keys") return real(request);
    requests.push(request.clone());
    return answer(request);
  });
  return requests;
}

/** A Cloud Controller whose pool holds what `holds` says. */
export function respondWithMatches(holds: (resource: SentResource) => boolean): Answer {
  return async (request) => {
    const { resources } = await request.json<{ resources: SentResource[] }>();
    return Response.json({ resources: resources.filter(holds) }, { status: 201 });
  };
}
