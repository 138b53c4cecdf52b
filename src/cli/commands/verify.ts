import type { Command } from "commander";
import { formatCount, formatNumber } from "../../format.ts";
import type { CachedResource } from "../../operator-api/responses.ts";
import { CacheClient } from "../api/cache-client.ts";
import {
  baseUrl,
  type Endpoint,
  type EndpointOptions,
  endpointOf,
  withEndpointOptions,
} from "../api/endpoint.ts";
import { retried } from "../api/retry.ts";
import { send } from "../api/send.ts";
import { WorkerClock } from "../api/worker-clock.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { finishOnInterrupt } from "../terminal/interrupt.ts";
import { print, printJson } from "../terminal/output.ts";
import { Verification } from "../verification.ts";

/** More than this of what was asked goes only where that is confirmed: a wrong or emptied pool is likelier. */
const REJECTED_SHARE_MAX = 0.1;

interface VerifyOptions extends EndpointOptions {
  cloudController: string;
  sample?: string;
  remove?: boolean;
  yes?: boolean;
  json?: boolean;
}

export function registerVerify(program: Command): void {
  const command = program
    .command("verify")
    .summary("ask the Cloud Controller whether it holds what the cache does")
    .description(
      "Asks the Cloud Controller itself, 250 resources at a time, which of what the cache holds it still matches: " +
        "whatever its blobstore is. The exit code is 3 where it denies some that stay in the cache. Files exactly as " +
        "large as MINIMUM_SIZE or MAXIMUM_SIZE are passed over: the Cloud Controller takes both as exclusive.\n\n" +
        "With --remove, what it has denied is asked again at the end, together with some that it has matched, and removed " +
        "from the cache where it still matches those. It refuses, before anything is removed, if more than a tenth of " +
        "what was asked is denied, which --yes allows, or all of it.\n\n" +
        "It looks up one file after the other, about 80 a second. For more than the token's lifetime allows, take a " +
        "sample, or the token of a client that lives longer.",
    )
    .requiredOption(
      "--cloud-controller <url>",
      "an address that leads to the Cloud Controller and not to the Worker; it gets the same token",
    )
    .option("--sample <count>", "ask about so many, drawn at random, instead of all")
    .option("--remove", "remove what it denies from the cache")
    .option("--yes", "even if that is more than a tenth of what was asked")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nExample:\n" +
        "  resource-pool verify --sample 5000 \\\n" +
        "    --cloud-controller https://api.cf.internal --url https://api.example.com",
    );

  withEndpointOptions(command).action(async ({ sample, remove, yes, json, ...options }: VerifyOptions) => {
    if (yes && !remove) throw new Exit("wrong-usage", "--yes goes with --remove.");
    if (sample !== undefined && !/^[1-9]\d{0,8}$/.test(sample)) {
      throw new Exit("wrong-usage", `--sample is a number of resources, at least 1, not ${sample}`);
    }
    const endpoint = endpointOf(options);
    const cloudController = {
      url: baseUrl(options.cloudController, "--cloud-controller"),
      token: endpoint.token,
    };
    const signal = finishOnInterrupt();
    await refuseWorker(cloudController, signal);
    const client = new CacheClient(endpoint, signal);
    const { entries, configuration, time } = await client.status();
    const clock = new WorkerClock(time);
    const limits = [configuration.MINIMUM_SIZE, configuration.MAXIMUM_SIZE];
    const resources = sample === undefined ? client.resources() : drawn(client, Number(sample));
    const verification = new Verification(cloudController, signal);
    const total = sample === undefined ? entries : Math.min(Number(sample), entries);
    let isTooMany = false;
    try {
      await verification.run(resources, limits, total);
      const { matched, rejected: denied } = verification;
      isTooMany = denied > REJECTED_SHARE_MAX * (matched + denied) && !yes;
      if (remove && !isTooMany && matched > 0) await verification.removeRejected(client, clock);
    } catch (error) {
      throw new Exit(
        error instanceof Exit ? error.reason : "failed",
        `${reasonOf(error)}\nBefore that: ${inWords(verification)}.`,
      );
    }
    if (json) {
      const { matched, rejected: denied, removed, skipped: passedOver } = verification;
      await printJson({ matched, denied, removed, passedOver, interrupted: signal.aborted });
    } else await print(inWords(verification));
    if (signal.aborted) throw new Exit("interrupted");
    if (verification.matched === 0 && verification.rejected > 0) {
      const advice =
        "The Cloud Controller matches nothing at all: is its feature flag resource_matching on? If its pool was " +
        "emptied, `forget` empties the cache.";
      throw new Exit("done-in-part", remove ? `Nothing removed. ${advice}` : advice);
    }
    if (remove && isTooMany) {
      throw new Exit(
        "failed",
        `Refused: ${formatNumber(verification.rejected)} of ${formatCount(verification.matched + verification.rejected, "resource")} ` +
          "are denied, more than a tenth. Has its pool lost so many? Then --yes removes them. Nothing was removed.",
      );
    }
    if (verification.rejected > 0 && !remove) throw new Exit("done-in-part");
  });
}

function inWords({ matched, rejected: denied, removed, skipped: passedOver }: Verification): string {
  return (
    `${formatCount(matched, "resource")} matched, ${formatNumber(denied)} denied, ${formatNumber(removed)} removed, ` +
    `${formatNumber(passedOver)} passed over`
  );
}

/** `count` of all at random, each as likely as any other. */
async function* drawn(client: CacheClient, count: number): AsyncGenerator<readonly CachedResource[]> {
  const sample: CachedResource[] = [];
  let met = 0;
  for await (const page of client.resources()) {
    for (const resource of page) {
      met += 1;
      const place = met <= count ? met - 1 : Math.floor(Math.random() * met);
      if (place < count) sample[place] = resource;
    }
  }
  yield sample;
}

/**
 * The Worker must not be asked whether it is right. It alone knows this path: of any other answer than the Cloud
 * Controller's 404, a bad token's or a busy Worker's, nobody can say where it comes from.
 */
async function refuseWorker(cloudController: Endpoint, signal: AbortSignal): Promise<void> {
  const ask = async () => {
    const answer = await send(cloudController, { method: "GET", path: "/v3/resource_matches/cache" });
    if (answer.status !== 200) return answer;
    throw new Exit(
      "wrong-usage",
      `${cloudController.url} leads to the Worker itself, or to something else that is no Cloud Controller.`,
    );
  };
  await retried(ask, 404, signal);
}
