import { join } from "node:path";
import { expect, vi } from "vitest";
import { type Foundry, startFoundry } from "../foundry/foundry.ts";
import { freePort } from "../foundry/loopback.ts";
import { MatchedLog, type TierFigures } from "../foundry/matched-log.ts";
import { comparePackage } from "../foundry/package-comparison.ts";
import { type Push, push } from "../foundry/push-client.ts";
import { startWorker, type WorkerProcess } from "../foundry/worker-process.ts";
import type { CacheFault } from "./cache-fault.ts";
import { createProject, type ProjectOptions } from "./project.ts";
import { TierTable } from "./tier-table.ts";

const START_MAX_MS = 40_000;
const LEARNED_MAX_MS = 40_000;
/** Listing thousands of keys keeps the Worker busy. */
const POLL_MS = 200;

interface StageOptions extends ProjectOptions {
  /** Of the table of pushes. */
  title: string;
  /** Of the Worker, besides UAA_URL and CLOUD_CONTROLLER_URL. */
  variables?: Record<string, string>;
}

/** A foundation with the Worker before it, and the test's hands on both. */
export interface Stage {
  foundry: Foundry;
  worker: WorkerProcess;
  token: string;
  /**
   * Pushes through the Worker. Whatever goes wrong behind it, the push succeeds, and the package is the directory.
   *
   * @param label for the table
   */
  push(directory: string, label: string): Promise<Push & TierFigures>;
  /** Pushes past the Worker, so that the Cloud Controller knows what the cache has never heard of. */
  pushDirectly(directory: string): Promise<void>;
  /** Requests for matches that the Cloud Controller has got since it was asked last. */
  originRequests(): number;
  /** Sends a command to the Worker's test entry. */
  command(method: string, path: string, body?: string | CacheFault): Promise<Response>;
  /** How many keys of resources the cache has. */
  keys(): Promise<number>;
  /** Waits until it has that many. */
  untilKeys(count: number): Promise<void>;
  close(): Promise<void>;
}

export async function openStage({ title, variables = {}, queue }: StageOptions): Promise<Stage> {
  const project = await createProject({ queue });
  // Small files are as good as any for the tests, and sooner made.
  const limits = { minimumSize: 0 };
  const foundry = await startFoundry({ poolDirectory: join(project.directory, "pool"), limits });
  const { uaa, cloudController } = foundry;
  const token = await uaa.issueToken();
  const log = new MatchedLog();
  const table = new TierTable(title);
  const worker = startWorker({
    port: await freePort(),
    variables: { UAA_URL: uaa.url, CLOUD_CONTROLLER_URL: cloudController.url, ...variables },
    config: project.config,
    onLine: log.read,
  });
  const target = { url: worker.url, token };

  const command: Stage["command"] = async (method, path, body) => {
    const text = typeof body === "object" ? JSON.stringify(body) : body;
    const response = await fetch(`${worker.url}/__test/${path}`, { method, body: text ?? null });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const keys = async () => ((await (await command("GET", "keys")).json()) as { keys: number }).keys;
  const close = async () => {
    table.print();
    await Promise.all([worker.stop(), foundry.close()]);
    await project.remove();
  };
  const waiting = { timeout: START_MAX_MS, interval: POLL_MS };
  await vi
    .waitFor(() => command("GET", "keys"), waiting)
    .catch(async (error) => {
      const lastWords = worker.tail();
      await close();
      throw new Error(`the Worker does not start: ${lastWords}`, { cause: error });
    });

  return {
    foundry,
    worker,
    token,
    command,
    close,
    async push(directory, label) {
      const pushed = await push(directory, target);
      const figures = await log.figuresOf(pushed.matchRequestIds);
      table.add(label, pushed, figures);
      expect(await comparePackage(pushed.packageGuid, directory, target)).toEqual([]);
      return { ...pushed, ...figures };
    },
    async pushDirectly(directory) {
      await push(directory, { url: cloudController.url, token });
      cloudController.stats.reset();
    },
    originRequests() {
      const count = cloudController.stats.requests["POST /v3/resource_matches"] ?? 0;
      cloudController.stats.reset();
      return count;
    },
    keys,
    async untilKeys(count) {
      const patience = { timeout: LEARNED_MAX_MS, interval: POLL_MS };
      await vi.waitFor(async () => expect(await keys()).toBe(count), patience);
    },
  };
}
