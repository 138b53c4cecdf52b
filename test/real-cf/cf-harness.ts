import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { type Harness, startHarness } from "../e2e/harness.ts";
import type { Package } from "../foundation/cloud-controller/packages.ts";
import { comparePackage } from "../support/node/package-comparison.ts";
import { type CfOutcome, runCf } from "./cf-cli.ts";

const MATCHES = "POST /v3/resource_matches";
const LOGGED_MAX_MS = 10_000;

/** What the Worker logs of a request for matches, as far as tests look at it. */
interface MatchedLine {
  traceId?: string;
  /** How many resources were asked for. */
  resources: number;
}

/** One run of cf, and what Worker and Cloud Controller observed of it. */
export interface CfRun extends CfOutcome {
  /** Of its requests for matches. */
  lines: MatchedLine[];
  /** Those of the requests that the Worker passed on to the Cloud Controller; "" for a request without one. */
  passedTraceIds: string[];
}

/** The local foundation, the Worker in front of it, and the real cf CLI. */
export interface CfHarness extends Harness {
  /** All runs until now. */
  runs: CfRun[];
  /** The directory where cf keeps its target and its tokens, and in which it runs. */
  home: string;
  /** @param requests for matches that the run makes; it is over when the Worker has logged so many */
  cf(args: readonly string[], requests?: number): Promise<CfRun>;
  /** Pushes a directory without starting the app. The push succeeds, and the package is the directory. */
  cfPush(app: string, directory: string, requests?: number): Promise<{ run: CfRun; uploaded: string[] }>;
  /** The newest package of an app, which has the files of the directory: paths, contents and modes. */
  checkedPackage(app: string, directory: string): Promise<Package>;
}

/** @param minimumSize of a file that the pool takes, in bytes */
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
    // A busy machine may take seconds, and what is late is uploaded.
    variables: { MINIMUM_SIZE: String(minimumSize), LOOKUP_DEADLINE_MS: "60000" },
    onLine(line) {
      if (line.includes('"event":"matched"')) logged.push(JSON.parse(line));
    },
  });
  const { cloudController, uaa } = harness.foundation;
  // As on a foundation where the API's name leads to the Worker: cf follows the Location of a job.
  cloudController.setExternalUrl(harness.worker.url);
  const runs: CfRun[] = [];

  const run: CfHarness["cf"] = async (args, requests = 0) => {
    logged.length = 0;
    cloudController.stats.reset();
    const outcome = await runCf(cf, args, home);
    const output = `cf ${args.join(" ")}\n${outcome.stdout}${outcome.stderr}`;
    // The log may lag behind the answers.
    await vi.waitFor(() => expect(logged, output).toHaveLength(requests), { timeout: LOGGED_MAX_MS });
    const passed = Object.entries(cloudController.stats.traces).filter(([, names]) =>
      // The Worker itself asks for matches.
      names.some((name) => name !== MATCHES),
    );
    const observed = { lines: [...logged], passedTraceIds: passed.map(([traceId]) => traceId) };
    const ended = { ...outcome, ...observed };
    runs.push(ended);
    return ended;
  };
  const checkedPackage: CfHarness["checkedPackage"] = async (name, directory) => {
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
      return { run: pushed, uploaded: (await checkedPackage(app, directory)).uploaded };
    },
    checkedPackage,
    async stop() {
      await harness.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}
