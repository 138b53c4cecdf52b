import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { type Harness, startHarness } from "../e2e/harness.ts";
import type { Package } from "../foundation/cloud-controller/packages.ts";
import { comparePackage } from "../support/node/package-comparison.ts";
import { type CfOutcome, runCf } from "./cf-cli.ts";

const MATCHES = "POST /v3/resource_matches";
const LOG_TIMEOUT_MS = 10_000;

/** The members of a `matched` log line that tests use. */
interface MatchedLine {
  traceId?: string;
  /** The number of resources in the request. */
  resources: number;
}

/** A run of cf, with what the Worker and the Cloud Controller received. */
export interface CfRun extends CfOutcome {
  /** The log lines of its requests for matches. */
  lines: MatchedLine[];
  /** Trace ids of the requests that the Worker passed through; "" for a request without one. */
  passedTraceIds: string[];
}

/** The local foundation, the Worker in front of it, and the real cf CLI. */
export interface CfHarness extends Harness {
  /** All runs so far. */
  runs: CfRun[];
  /** The directory where cf stores its target and tokens, and in which it runs. */
  home: string;
  /** Runs cf, and waits until the Worker has logged this many requests for matches. */
  cf(args: readonly string[], requests?: number): Promise<CfRun>;
  /** Pushes a directory without starting the app. The push must succeed, and the package must equal the directory. */
  cfPush(app: string, directory: string, requests?: number): Promise<{ run: CfRun; uploaded: string[] }>;
  /** Returns the newest package of an app. It must equal the directory. */
  checkPackage(app: string, directory: string): Promise<Package>;
}

/** @param minimumSize of a file in the pool, in bytes */
export async function startCfHarness(
  cf: string,
  { minimumSize }: { minimumSize: number },
): Promise<CfHarness> {
  const logged: MatchedLine[] = [];
  const home = await mkdtemp(join(tmpdir(), "cf-home-"));
  const harness = await startHarness({
    title: "real cf",
    bucket: false,
    minimumSize,
    // A busy machine may take seconds. Files that miss the deadline are uploaded.
    variables: { MINIMUM_SIZE: String(minimumSize), LOOKUP_DEADLINE_MS: "60000" },
    onLine(line) {
      if (line.includes('"event":"matched"')) logged.push(JSON.parse(line));
    },
  });
  const { cloudController, uaa } = harness.foundation;
  // cf follows the Location of a job, so it must lead to the Worker.
  cloudController.setExternalUrl(harness.worker.url);
  const runs: CfRun[] = [];

  const run: CfHarness["cf"] = async (args, requests = 0) => {
    logged.length = 0;
    cloudController.stats.reset();
    const outcome = await runCf(cf, args, home);
    const output = `cf ${args.join(" ")}\n${outcome.stdout}${outcome.stderr}`;
    // The log may lag behind the responses.
    await vi.waitFor(() => expect(logged, output).toHaveLength(requests), { timeout: LOG_TIMEOUT_MS });
    const passed = Object.entries(cloudController.stats.traces).filter(([, names]) =>
      // Requests for matches are the Worker's own.
      names.some((name) => name !== MATCHES),
    );
    const observed = { lines: [...logged], passedTraceIds: passed.map(([traceId]) => traceId) };
    const ended = { ...outcome, ...observed };
    runs.push(ended);
    return ended;
  };
  const checkPackage: CfHarness["checkPackage"] = async (name, directory) => {
    const app = cloudController.apps.list().find((each) => each.name === name);
    const item = cloudController.packages.ofApp(app?.guid ?? "").at(-1);
    if (!item) throw new Error(`the app ${name} has no package`);
    const target = { url: cloudController.url, token: await uaa.issueToken() };
    expect(await comparePackage(item.guid, directory, target)).toEqual([]);
    return item;
  };
  return {
    ...harness,
    runs,
    home,
    cf: run,
    async cfPush(app, directory, requests = 1) {
      const pushed = await run(["push", app, "-p", directory, "--no-start"], requests);
      // Warnings of the API are on stderr.
      expect(pushed).toMatchObject({ code: 0, stderr: "" });
      return { run: pushed, uploaded: (await checkPackage(app, directory)).uploaded };
    },
    checkPackage,
    async stop() {
      await harness.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}
