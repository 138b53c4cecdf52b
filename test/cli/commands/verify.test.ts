import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { makeBlobs } from "../blobs.ts";
import { resourcePoolInThread } from "../command.ts";
import { startEndpoint, startServer } from "../endpoint.ts";
import { respond, respondWithError, startFakeCache } from "../fake-cache.ts";

/**
 * A cache with 1,000 resources, and a Cloud Controller.
 *
 * @param isMatched whether the Cloud Controller matches a resource in its nth request, from 1
 */
async function startVerification(isMatched: (sha1: string, request: number) => boolean) {
  const [cache, blobs] = [await startFakeCache(), makeBlobs(1_000)];
  for (const { key } of blobs) cache.present.add(key);
  const cloudController = await startEndpoint(({ checksum }) =>
    isMatched(checksum.value, cloudController.requests.length),
  );
  const verify = (...args: string[]) =>
    resourcePoolInThread(["verify", "--cloud-controller", cloudController.url, ...args, ...cache.urlOption], {
      env: cache.env,
    });
  return { cache, blobs, verify };
}

test.concurrent("removes resources that are rejected twice, up to a tenth of the verified ones", async () => {
  const rejected = new Set(makeBlobs(100).map(({ sha1 }) => sha1));
  const { cache, verify } = await startVerification((sha1) => !rejected.has(sha1));
  expect(await verify("--remove")).toEqual({
    code: 0,
    stdout: "900 resources matched, 100 rejected, 100 removed\n",
    stderr: "",
  });
  expect(cache.present.size).toBe(900);
});

test.concurrent("removes more than a tenth only with --yes, and nothing without it", async () => {
  const rejected = new Set(makeBlobs(101).map(({ sha1 }) => sha1));
  const { cache, verify } = await startVerification((sha1) => !rejected.has(sha1));
  expect(await verify("--remove")).toEqual({
    code: 1,
    stdout: "899 resources matched, 101 rejected, 0 removed\n",
    stderr:
      "Refused: 101 of 1,000 resources were rejected: more than a tenth. Nothing was removed. If the pool has lost that " +
      "many, add --yes to remove them.\n",
  });
  expect(cache.received).toEqual([]);
  expect(await verify("--remove", "--yes")).toMatchObject({ code: 0 });
  expect(cache.present.size).toBe(899);
});

test.concurrent("removes nothing when the Cloud Controller's matching is switched off in the middle, even with --yes (R1.6)", async () => {
  // It rejects everything from the fourth request on.
  const { cache, verify } = await startVerification((_, request) => request <= 3);
  const outcome = await verify("--remove", "--yes");
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/^The Cloud Controller now rejects files that it matched before\. /);
  expect(cache.received).toEqual([]);
});

test.concurrent("keeps resources that are rejected only for a while", async () => {
  const { cache, verify } = await startVerification((_, request) => request !== 2);
  expect(await verify("--remove", "--yes")).toMatchObject({
    code: 0,
    stdout: "1,000 resources matched, none rejected, 0 removed\n",
  });
  expect(cache.received).toEqual([]);
});

test.concurrent("removes nothing when the Cloud Controller matches nothing, even with --yes", async () => {
  const { cache, verify } = await startVerification(() => false);
  const outcome = await verify("--remove", "--yes");
  expect(outcome).toMatchObject({ code: 3, stdout: "No resource matched, 1,000 rejected, 0 removed\n" });
  expect(outcome.stderr).toMatch(/^Nothing was removed\. The Cloud Controller matches nothing\. /);
  expect(cache.received).toEqual([]);
});

test.concurrent.each<[string, number, string, RegExp]>([
  [
    "401 like a Cloud Controller that refuses the token",
    401,
    JSON.stringify({ errors: [{ detail: "Invalid Auth Token", title: "CF-InvalidAuthToken", code: 1000 }] }),
    /returned 401: Invalid Auth Token \(CF-InvalidAuthToken, 1000\)\nThe token is not a JWT[^\n]*\n$/,
  ],
  [
    "405 like a proxy",
    405,
    "no",
    /returned 405: no\nThis is not a response .*\nSet --cloud-controller to a URL/,
  ],
  [
    "a web page",
    200,
    "<!doctype html><html><head><title>\nSign in  to Example</title></head>",
    /returned 200 with a web page: "Sign in to Example"\nThis is not a response of .*\nSet --cloud-controller to/,
  ],
  [
    "the status of a Worker",
    200,
    JSON.stringify({ entries: 1, checks: [], configuration: { secret: "x".repeat(500) } }),
    /returned 200 with the status of a Worker\.\nThis is not a response .*\nSet --cloud-controller to/,
  ],
  [
    "other JSON",
    200,
    JSON.stringify({ items: "x".repeat(500) }),
    /returned 200 with JSON that is not an error: \{"items":"x{50}…\nThis is not .*\nSet --cloud-controller to/,
  ],
  [
    "control characters",
    400,
    JSON.stringify({ errors: [{ detail: "a\u001b[2Jb\nc", title: "CF-Test", code: 1 }] }),
    /returned 400: a \[2Jb c \(CF-Test, 1\)\nSet --cloud-controller to/,
  ],
])("sends no matches to a --cloud-controller that returns %s", async (_, status, body, message) => {
  const cache = await startFakeCache();
  const requests: (string | undefined)[] = [];
  const url = await startServer((request, response) => {
    requests.push(request.method);
    response.writeHead(status).end(body);
  });
  const outcome = await resourcePoolInThread(["verify", "--cloud-controller", url, ...cache.urlOption], {
    env: cache.env,
  });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(message);
  expect(outcome.stderr).not.toContain("x".repeat(60));
  expect(requests).toEqual(["POST"]);
});

test.concurrent("refuses a --cloud-controller that leads to a Worker behind a proxy that removes Via", async () => {
  const { verify } = await startVerification(() => true);
  const url = await startServer((_, response) => respond(response, 201, { resources: [] }));
  expect(await verify("--cloud-controller", url)).toEqual({
    code: 2,
    stdout: "",
    stderr: expect.stringMatching(/^http\S+ leads to a Worker, and not to the Cloud Controller\. /),
  });
});

test.concurrent("says that there was no resource to verify if the cache is empty", async () => {
  const { cache, verify } = await startVerification(() => true);
  cache.present.clear();
  expect(await verify("--remove")).toEqual({
    code: 0,
    stdout: "No resource was verified\n",
    stderr: "The cache is empty.\n",
  });
});

/**
 * A load balancer that forwards only requests for matches to a Worker. The Worker matches everything, and returns 508 to requests that
 * it has sent itself.
 *
 * @param cloudController gets requests of the Worker; by default, the Worker gets them too
 */
async function startBalancer(cloudController?: string): Promise<string> {
  const worker = await startEndpoint(() => true);
  return startServer(async (request, response) => {
    if (request.url !== "/v3/resource_matches") return respondWithError(response, 404, "Unknown request");
    const isFromWorker = request.headers.via === "1.1 resource-matches";
    if (isFromWorker && cloudController === undefined) {
      return respondWithError(response, 508, "CLOUD_CONTROLLER_URL leads back to the Worker");
    }
    const target = isFromWorker ? cloudController : worker.url;
    const forwarded = await fetch(`${target}${request.url}`, { method: "POST", body: await text(request) });
    response.writeHead(forwarded.status).end(await forwarded.text());
  });
}

test.concurrent("refuses a --cloud-controller that sends only requests for matches to a Worker", async () => {
  const { verify } = await startVerification(() => true);
  expect(await verify("--cloud-controller", await startBalancer())).toEqual({
    code: 2,
    stdout: "",
    stderr: expect.stringMatching(
      /^http\S+ leads to a Worker, and not to the Cloud Controller\. Set --cloud-controller to .* Via, to the Cloud Controller\.\n$/,
    ),
  });
});

test.concurrent("verifies with the Cloud Controller behind a load balancer that sends the Worker's requests to it", async () => {
  const [first] = makeBlobs(1);
  const { url } = await startEndpoint(({ checksum }) => checksum.value !== first?.sha1);
  const { verify } = await startVerification(() => true);
  expect(await verify("--cloud-controller", await startBalancer(url))).toMatchObject({
    code: 3,
    stdout: "999 resources matched, 1 rejected\n",
  });
});
