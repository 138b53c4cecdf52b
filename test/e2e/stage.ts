import { join } from "node:path";
import { expect, vi } from "vitest";
import { type Foundry, startFoundry } from "../foundry/foundry.ts";
import { freePort } from "../foundry/loopback.ts";
import { MatchedLog, type TierFigures } from "../foundry/matched-log.ts";
import { comparePackage } from "../foundry/package-comparison.ts";
import { type Push, push } from "../foundry/push-client.ts";
import { startWorker, type WorkerProcess } from "../foundry/worker-process.ts";
import { createProject, type ProjectOptions } from "./project.ts";
import { TierTable } from "./tier-table.ts";

const START_MAX_MS = 40_000;
/** For a hook that opens a stage and sets it. */
export const OPENED_MAX_MS = 60_000;
const PUBLISHED_MAX_MS = 40_000;
const POLL_MS = 50;
/** Between two pointers, and after a failure, the catalog lets so much time pass. */
const PACE_MS = 10_000;

interface StageOptions extends ProjectOptions {
  /** Of the table of pushes. */
  title: string;
  /** Of the Worker, besides UAA_URL and CLOUD_CONTROLLER_URL. */
  variables?: Record<string, string>;
}

/** As much of the catalog's status as tests look at. */
interface Catalog {
  entries: number;
  keysWaiting: number;
  published: { at: string; changes: { held: number; removed: number } } | null;
  snapshot: { id: string; entries: number } | null;
  isBehind: boolean;
}

/** What the Worker's test entry has counted. */
interface Counts {
  /** Keys of resources that were read of KV. */
  keysRead: number;
  /** Operations that met the fault of the moment. */
  suffered: number;
  /** Events of the bucket that the consumer has had. */
  handledEvents: number;
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
   * @returns with what the cache has answered, from memory and from keys together
   */
  push(directory: string, label: string): Promise<Push & TierFigures & { cached: number }>;
  /** Pushes past the Worker, so that the Cloud Controller knows what the cache has never heard of. */
  pushDirectly(directory: string): Promise<void>;
  /** Requests for matches that the Cloud Controller has got since it was asked last. */
  originRequests(): number;
  /** Sends a command to the Worker's test entry. */
  command(method: string, path: string, body?: string | object): Promise<Response>;
  /** What the catalog says of itself. */
  catalog(): Promise<Catalog>;
  /**
   * Waits until the catalog holds so many resources and has published them, and replaces the isolate, which would else
   * go on with its copy of the pointer for a while. Time passes at once.
   */
  untilPublished(entries: number): Promise<void>;
  /** Has a new snapshot published, waits until nothing has changed since, and replaces the isolate. */
  publishSnapshot(): Promise<void>;
  /** Lets time pass at once, for the isolate and the catalog. */
  pass(ms: number): Promise<void>;
  /** How many keys of resources KV has. */
  keys(): Promise<number>;
  counts(): Promise<Counts>;
  /** Waits until the fault of the moment has been met so many times. Time passes at once. */
  untilSuffered(times: number): Promise<void>;
  close(): Promise<void>;
}

export async function openStage({ title, variables = {}, bucket }: StageOptions): Promise<Stage> {
  const project = await createProject({ bucket });
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
  const answer = async <T>(path: string) => (await (await command("GET", path)).json()) as T;
  const catalog = () => answer<Catalog>("catalog");
  const pass = async (ms: number) => void (await command("POST", `time/${ms}`));
  const counts = () => answer<Counts>("counts");
  const patience = { timeout: PUBLISHED_MAX_MS, interval: POLL_MS };
  const until = async (isSo: (status: Catalog) => boolean) => {
    await vi.waitFor(async () => expect(await catalog()).toSatisfy(isSo), patience);
  };
  const close = async () => {
    table.print();
    await Promise.all([worker.stop(), foundry.close()]);
    await project.remove();
  };
  const waiting = { timeout: START_MAX_MS, interval: POLL_MS };
  await vi
    .waitFor(() => command("GET", "catalog"), waiting)
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
      return { ...pushed, ...figures, cached: figures.snapshot + figures.keys };
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
    catalog,
    async untilPublished(entries) {
      await until((status) => status.entries === entries);
      await pass(PACE_MS);
      await until(({ isBehind }) => !isBehind);
      await command("DELETE", "isolate");
    },
    async publishSnapshot() {
      const { snapshot: before } = await catalog();
      await command("POST", "snapshot");
      await until(({ snapshot }) => snapshot?.id !== before?.id);
      await pass(PACE_MS);
      await until(({ published, isBehind }) => {
        const { held, removed } = published?.changes ?? { held: 1, removed: 0 };
        return !isBehind && held + removed === 0;
      });
      await command("DELETE", "isolate");
    },
    pass,
    keys: () => answer<number>("keys"),
    counts,
    async untilSuffered(times) {
      await pass(PACE_MS);
      await vi.waitFor(async () => expect((await counts()).suffered).toBeGreaterThanOrEqual(times), patience);
    },
  };
}
