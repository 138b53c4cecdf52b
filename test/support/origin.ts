import { vi } from "vitest";
import type { SentResource } from "./worker.ts";

export const CLOUD_CONTROLLER_URL = "https://cc.internal.example.com";

type Respond = (request: Request) => Response | Promise<Response>;

/** Responds to all fetches of the Worker except those of UAA's keys. Returns the list of requests, which grows. */
export function fakeCloudController(respond: Respond, isUaaDown = () => false) {
  const requests: Request[] = [];
  const realFetch = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as Request, init as RequestInit);
    if (new URL(request.url).pathname === "/token_keys") {
      return isUaaDown() ? new Response("", { status: 503 }) : realFetch(request);
    }
    requests.push(request.clone());
    return respond(request);
  });
  return requests;
}

/** The response of a Cloud Controller that matches the resources for which `isPresent` is true. */
export function respondWithMatches(isPresent: (resource: SentResource) => boolean): Respond {
  return async (request) => {
    const { resources } = await request.json<{ resources: SentResource[] }>();
    return Response.json({ resources: resources.filter(isPresent) }, { status: 201 });
  };
}
