import { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import type { CachedResource } from "../../operator-api/responses.ts";
import { CacheClient, startTimeOf } from "../api/cache-client.ts";
import { describeError } from "../api/describe-error.ts";
import { type Endpoint, type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import {
  isOfCloudController,
  isOfWorker,
  requestFraction,
  withoutWorker,
  workerAtCloudController,
} from "../api/responder.ts";
import { retry } from "../api/retry.ts";
import { hasErrorEnvelope, isOutage } from "../api/send.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { finishOnInterrupt } from "../terminal/interrupt.ts";
import { note, printResult } from "../terminal/output.ts";
import { Verification } from "../verification.ts";

/** More needs --yes: probably the pool is wrong or was emptied. */
const REJECTED_PART_MAX = 0.1;

interface VerifyOptions extends EndpointOptions {
  cloudController: string;
  sample?: string;
  remove?: boolean;
  yes?: boolean;
  json?: boolean;
}

export const verifyCommand = new Command("verify")
  .summary("verify the cache with the Cloud Controller")
  .description(
    "Verifies the resources in the cache with the Cloud Controller, about 80 a second. The exit code is 3 if it rejects some " +
      "and they stay in the cache. Files of exactly MINIMUM_SIZE or MAXIMUM_SIZE are skipped: the Cloud Controller never " +
      "matches them.\n\n" +
      "With --remove, resources that are rejected twice are removed from the cache. If all are rejected, nothing is removed.",
  )
  .requiredOption("--cloud-controller <url>", "leads to the Cloud Controller. It gets the token")
  .option("--sample <count>", "verify this many random resources, not all")
  .option("--remove", "remove rejected resources from the cache")
  .option("--yes", "allow --remove to remove more than a tenth")
  .option("--json", "print the result as JSON")
  .addHelpText(
    "after",
    "\nExample:\n  resource-pool verify --sample 5000 --url https://matches.example.net \\\n    --cloud-controller https://api.example.com",
  )
  .action(async ({ sample, remove, yes, json, ...options }: VerifyOptions) => {
    if (yes && !remove) throw new Exit("usage", "--yes needs --remove.");
    if (sample !== undefined && !/^[1-9]\d{0,8}$/.test(sample)) {
      throw new Exit("usage", `--sample must be a number of resources, at least 1, not ${sample}`);
    }
    const endpoint = endpointOf(options);
    const url = options.cloudController;
    const cloudController = withoutWorker(endpointOf({ ...options, url }, "--cloud-controller"));
    const signal = finishOnInterrupt();
    await requireCloudController(cloudController, signal);
    const client = new CacheClient(endpoint, signal);
    const status = await client.status();
    const startedAt = startTimeOf(status);
    const { entries, configuration } = status;
    if (entries === 0) note("The cache is empty.");
    const limits = [configuration.MINIMUM_SIZE, configuration.MAXIMUM_SIZE];
    const resources = sample === undefined ? client.resources() : drawSample(client, Number(sample));
    const verification = new Verification(cloudController, signal);
    const total = sample === undefined ? entries : Math.min(Number(sample), entries);
    let isRefused = false;
    try {
      await verification.run(resources, limits, total);
      const { matched, rejected } = verification;
      isRefused = rejected > REJECTED_PART_MAX * (matched + rejected) && !yes;
      if (remove && !isRefused && matched > 0) await verification.removeRejected(client, startedAt);
    } catch (error) {
      throw new Exit(
        error instanceof Exit ? error.reason : "failed",
        `${reasonOf(error)}\nBefore that: ${summaryText(verification, remove)}.`,
      );
    }
    const { matched, rejected, removed, skipped } = verification;
    const result = { matched, rejected, removed, skipped, interrupted: signal.aborted };
    await printResult(json, result, summaryText(verification, remove));
    if (signal.aborted) throw new Exit("interrupted");
    if (matched === 0 && rejected > 0) {
      const advice =
        "The Cloud Controller matches nothing. Is its feature flag resource_matching enabled? If its pool was emptied, " +
        "run `forget` to empty the cache.";
      throw new Exit("incomplete", remove ? `Nothing was removed. ${advice}` : advice);
    }
    if (remove && isRefused) {
      throw new Exit(
        "failed",
        `Refused: ${formatNumber(rejected)} of ${formatCount(matched + rejected, "resource")} were rejected: more than a ` +
          "tenth. Nothing was removed. If the pool has lost that many, add --yes to remove them.",
      );
    }
    if (rejected > 0 && !remove) throw new Exit("incomplete");
  });

function summaryText({ matched, rejected, removed, skipped }: Verification, isRemoving = false): string {
  const skippedPart = skipped === 0 ? [] : [`${formatNumber(skipped)} skipped`];
  if (matched + rejected === 0) return ["No resource was verified", ...skippedPart].join(", ");
  return [
    matched === 0 ? "No resource matched" : `${formatCount(matched, "resource")} matched`,
    `${rejected === 0 ? "none" : formatNumber(rejected)} rejected`,
    ...(isRemoving ? [`${formatNumber(removed)} removed`] : []),
    ...skippedPart,
  ].join(", ");
}

/** Draws `count` resources at random, each with the same probability (reservoir sampling). */
async function* drawSample(client: CacheClient, count: number): AsyncGenerator<readonly CachedResource[]> {
  const sample: CachedResource[] = [];
  let read = 0;
  for await (const page of client.resources()) {
    for (const resource of page) {
      read += 1;
      const place = read <= count ? read - 1 : Math.floor(Math.random() * read);
      if (place < count) sample[place] = resource;
    }
  }
  yield sample;
}

/** Requires that a Cloud Controller is at the address: the Worker can't verify its own matches. */
async function requireCloudController(cloudController: Endpoint, signal: AbortSignal): Promise<void> {
  const response = await retry(
    () => requestFraction(cloudController),
    (response) => isOfWorker(response) || !isOutage(response),
    signal,
  );
  if (isOfWorker(response)) throw new Exit("usage", workerAtCloudController(cloudController));
  if (isOfCloudController(response)) return;
  const isRefused = response.status === 401 && hasErrorEnvelope(response);
  const advice = "Set --cloud-controller to a URL that leads to the Cloud Controller.";
  throw new Exit("failed", isRefused ? describeError(response) : `${describeError(response)}\n${advice}`);
}
