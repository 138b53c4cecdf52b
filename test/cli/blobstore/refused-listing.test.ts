import { expect, test } from "vitest";
import { AZURE_CREDENTIALS, azureListing } from "../azure-server.ts";
import { makeNames } from "../blobs.ts";
import { resourcePool, resourcePoolInThread } from "../command.ts";
import { startServer } from "../endpoint.ts";
import { startFakeCache } from "../fake-cache.ts";
import { fastClock } from "../fast-clock.ts";
import { S3_CREDENTIALS, s3Listing } from "../s3-server.ts";

// The tests must not depend on the settings of the machine.
for (const name of ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"]) delete process.env[name];
for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) process.env[name] = "/dev/null";

const BLOBS = makeNames(3);
const LISTINGS = { "s3://pool": s3Listing(BLOBS, false), "azure://pool": azureListing(BLOBS) };
const PLACES = Object.entries(LISTINGS);

const page = (title: string) =>
  `<!doctype html><html><head><title>${title}</title></head><p>Hello<br></html>`;
const xmlError = (code: string, message: string) =>
  `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;

interface Response {
  status: number;
  body: string;
  headers?: Record<string, string>;
}

/** Runs `sync` with a server that returns the responses one after the other, and then the last one. */
async function sync(place: string, responses: readonly Response[], env: Record<string, string> = {}) {
  let requests = 0;
  const url = await startServer((_, response) => {
    const { status, body, headers } = responses[Math.min(requests, responses.length - 1)] as Response;
    requests += 1;
    response.writeHead(status, headers).end(body);
  });
  const cache = await startFakeCache();
  const args = ["sync", "--blobstore", place, "--endpoint", url, ...cache.urlOption];
  const run = "NODE_OPTIONS" in env ? resourcePool : resourcePoolInThread;
  const outcome = await run(args, { env: { ...cache.env, ...S3_CREDENTIALS, ...AZURE_CREDENTIALS, ...env } });
  return { ...outcome, stderr: outcome.stderr.replaceAll(/http:\S+(?= returned)/g, "URL"), requests, cache };
}

test.concurrent.each(PLACES)("retries a listing of %s after each kind of outage", async (place, listing) => {
  const outcome = await sync(
    place,
    [
      { status: 502, body: page("Bad gateway") },
      { status: 500, body: "" },
      { status: 429, body: "slow down", headers: { "Retry-After": "61" } },
      { status: 503, body: xmlError("SlowDown", "Reduce your request rate.") },
      { status: 503, body: "no upstream", headers: { "Content-Type": "text/plain" } },
      { status: 200, body: listing, headers: { "Content-Type": "application/xml" } },
    ],
    fastClock(1, 300),
  );
  expect(outcome).toMatchObject({ code: 0, requests: 6 });
  expect(outcome.stderr.replaceAll(/Retrying in (?!61)\d+ s/g, "Retrying")).toBe(
    [
      'URL returned 502 with a web page: "Bad gateway"\nRetrying.',
      "URL returned 500.\nRetrying.",
      "URL returned 429: slow down\nRetrying in 61 s.",
      "URL returned 503: Reduce your request rate. (SlowDown)\nRetrying.",
      "URL returned 503: no upstream\nRetrying.\n",
    ].join("\n"),
  );
  expect(outcome.cache.present.size).toBe(BLOBS.length);
});

test.concurrent.each(PLACES)("gives up a listing of %s after up to eight attempts", async (place) => {
  const outcome = await sync(place, [{ status: 500, body: "" }], fastClock(1, 300));
  const end = `\nCan't list ${place}: URL returned 500.\nGave up after ${outcome.requests} attempts.\n`;
  expect(outcome).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(end) });
  expect(outcome.requests).toBeGreaterThan(5);
});

const NO_LISTING = "This is not a listing of objects.";

test.concurrent.each(
  PLACES.flatMap(([place, listing]) =>
    (
      [
        ["a firewall's page", 403, page("Forbidden"), `403 with a web page: "Forbidden"\n${NO_LISTING}`],
        ["a login page", 200, page("Log in"), `200 with a web page: "Log in"\n${NO_LISTING}`],
        ["a page that is XML", 200, "<html><title>Log in</title></html>", `200 with a web page: "Log in"\n`],
        ["an empty response", 200, "", `200.\n${NO_LISTING}`],
        ["text", 200, "OK", `200: OK\n${NO_LISTING}`],
        [
          "a listing that is cut off",
          200,
          listing.slice(0, -30),
          "200 with a listing of objects that is cut",
        ],
        [
          "an error",
          403,
          xmlError("AccessDenied", "not allowed on &quot;pool&quot;\nTime:1"),
          '403: not allowed on "pool" Time:1 (AccessDenied)\n',
        ],
        [
          "an error without a message",
          404,
          "<Error><Code>NoSuchBucket</Code></Error>",
          "404: NoSuchBucket\n",
        ],
      ] as const
    ).map((row) => [place, ...row] as const),
  ),
)("exits with 1 if %s returns %s, and prints what was returned", async (place, _, status, body, text) => {
  const outcome = await sync(place, [{ status, body }]);
  expect(outcome).toMatchObject({ code: 1, stdout: "", requests: 1 });
  expect(outcome.stderr.startsWith(`Can't list ${place}: URL returned ${text}`), outcome.stderr).toBe(true);
});

test.concurrent("corrects the time of requests to S3 if this machine's clock is wrong", async () => {
  const later = new Date(Date.now() + 3_600_000).toUTCString();
  const outcome = await sync("s3://pool", [
    { status: 403, body: xmlError("RequestTimeTooSkewed", "too large"), headers: { Date: later } },
    { status: 200, body: LISTINGS["s3://pool"], headers: { Date: later } },
  ]);
  expect(outcome).toMatchObject({ code: 0, stderr: "", requests: 2 });
});

test.concurrent("prints which variables to set if there are no credentials for S3", async () => {
  const without = { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "", AWS_EC2_METADATA_DISABLED: "true" };
  const outcome = await sync("s3://pool", [{ status: 200, body: "" }], without);
  expect(outcome).toMatchObject({ code: 1, stdout: "", requests: 0 });
  expect(outcome.stderr).toMatch(
    /^Can't list s3:\/\/pool: There are no valid credentials for s3:\/\/ \(.*\)\. Set .* AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE\.\n$/,
  );
});
