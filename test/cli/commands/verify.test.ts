import { expect, test } from "vitest";
import { makeBlobs } from "../blobs.ts";
import { resourcePoolInThread } from "../command.ts";
import { endpointThatHolds, serve } from "../endpoint.ts";
import { fakeCache, refuse } from "../fake-cache.ts";

/** The cache holds 1,000 resources, and the Cloud Controller those for which `isMatched` says so. */
async function verifying(isMatched: (sha1: string, question: number) => boolean) {
  const [cache, blobs] = [await fakeCache(), makeBlobs(1_000)];
  for (const { key } of blobs) cache.present.add(key);
  const cloudController = await endpointThatHolds(({ checksum }) =>
    isMatched(checksum.value, cloudController.requests.length),
  );
  const verify = (...args: string[]) =>
    resourcePoolInThread(["verify", "--cloud-controller", cloudController.url, ...args, ...cache.to], {
      env: cache.env,
    });
  return { cache, blobs, verify };
}

test.concurrent("what is denied twice is removed, up to a tenth of what was asked", async () => {
  const denied = new Set(makeBlobs(100).map(({ sha1 }) => sha1));
  const { cache, verify } = await verifying((sha1) => !denied.has(sha1));
  expect(await verify("--remove")).toEqual({
    code: 0,
    stdout: "900 resources matched, 100 denied, 100 removed, 0 passed over\n",
    stderr: "",
  });
  expect(cache.present.size).toBe(900);
});

test.concurrent("more than a tenth is removed only with --yes, and nothing before that is known", async () => {
  const denied = new Set(makeBlobs(101).map(({ sha1 }) => sha1));
  const { cache, verify } = await verifying((sha1) => !denied.has(sha1));
  expect(await verify("--remove")).toEqual({
    code: 1,
    stdout: "899 resources matched, 101 denied, 0 removed, 0 passed over\n",
    stderr:
      "Refused: 101 of 1,000 resources are denied, more than a tenth. Has its pool lost so many? " +
      "Then --yes removes them. Nothing was removed.\n",
  });
  expect(cache.told).toEqual([]);
  expect(await verify("--remove", "--yes")).toMatchObject({ code: 0 });
  expect(cache.present.size).toBe(899);
});

test.concurrent("a Cloud Controller whose matching is switched off in the middle removes nothing, even with --yes", async () => {
  // The fourth question of 250 is the first that it denies, and it stays so.
  const { cache, verify } = await verifying((_, question) => question <= 3);
  const outcome = await verify("--remove", "--yes");
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/^The Cloud Controller denies now what it has matched before: /);
  expect(cache.told).toEqual([]);
});

test.concurrent("what is denied for a while only stays", async () => {
  const { cache, verify } = await verifying((_, question) => question !== 2);
  expect(await verify("--remove", "--yes")).toMatchObject({
    code: 0,
    stdout: "1,000 resources matched, 0 denied, 0 removed, 0 passed over\n",
  });
  expect(cache.told).toEqual([]);
});

test.concurrent("one that matches nothing at all removes nothing, even with --yes", async () => {
  const { cache, verify } = await verifying(() => false);
  const outcome = await verify("--remove", "--yes");
  expect(outcome.code).toBe(3);
  expect(outcome.stderr).toMatch(/^Nothing removed\. The Cloud Controller matches nothing at all: /);
  expect(cache.told).toEqual([]);
});

test.concurrent("whoever does not answer as a Cloud Controller does is not asked", async () => {
  const cache = await fakeCache();
  const asked: (string | undefined)[] = [];
  // A Worker before which the token is no good.
  const url = await serve((request, response) => {
    asked.push(request.method);
    refuse(response, 401, "Invalid Auth Token");
  });
  const outcome = await resourcePoolInThread(["verify", "--cloud-controller", url, ...cache.to], {
    env: cache.env,
  });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toContain("answered 401: Invalid Auth Token");
  expect(asked).toEqual(["GET"]);
});
