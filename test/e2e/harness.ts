import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, inject, vi } from "vitest";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import { PushFailed } from "../foundation/cf-push/cf-connection.ts";
import { type Push, push } from "../foundation/cf-push/push-client.ts";
import { mapConcurrently } from "../foundation/concurrency.ts";
import { MatchedLog, type TierMatches } from "../foundation/demo/matched-log.ts";
import { type Foundation, startFoundation } from "../foundation/foundation.ts";
import { comparePackage } from "../support/node/package-comparison.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";
import { TierTable } from "./tier-table.ts";

/** For a hook that opens a stage and sets it. */
export const START_TIMEOUT_MS = 60_000;
const PUBLISHED_MAX_MS = 40_000;
const POLL_MS = 50;
const FILES_AT_A_TIME = 8;
/** What the Worker says where it has added bits to a mode, so that a file arrives. */
const MODE_WARNING = /^Files were matched with a mode that the platform takes/;
/** Between two manifests, and after a failure, the catalog lets so much time pass. */
const PACE_MS = 10_000;

interface HarnessOptions {
  /** Whether POOL_BUCKET is bound, and the queue consumed that tells of it. */
  bucket: boolean;
  /** Of the table of pushes. */
  title: string;
  /** Of the Worker, besides UAA_URL and CLOUD_CONTROLLER_URL. */
  variables?: Record<string, string>;
  /** Of the Cloud Controller's pool, in bytes; default: 0, since small files are made sooner. */
  minimumSize?: number;
  /** Gets each line that the Worker logs. */
  onLine?: (line: string) => void;
}

/** How a push is made. */
interface PushOptions {
  /** Who pushes; default: the user of `token`. What is decided for one binds no other. */
  user?: string;
  /** Called between two requests for matches, with how many have been answered, and after the last. */
  onResponse?: (answered: number) => Promise<unknown>;
}

/** A file, as far as it is told of. */
export interface Resource {
  sha1: string;
  /** Bytes. */
  size: number;
}

/** A push that went well, with what the cache has answered, from memory and from keys together. */
export type PushResult = Push & TierMatches & { cached: number };

/** As much of the catalog's status as tests look at. */
interface CatalogStatus {
  entries: number;
  keysWaiting: number;
  published: { at: string; delta: { added: number; removed: number } } | null;
  snapshot: { id: string; entries: number } | null;
  suspendedUntil: string | null;
  dirtySince: string | null;
}

/** As the operator gets it. */
interface ResourcePage {
  resources: { checksum: { value: string } }[];
  after?: string;
}

/** What the Worker's test entry has counted. */
interface Counts {
  /** Keys of resources that were read of KV. */
  keysRead: number;
  /** Operations that met the fault of the moment. */
  injectedFaults: number;
  /** Events of the bucket that the consumer has had. */
  handledEvents: number;
}

/** A foundation with the Worker before it, and the test's hands on both. */
export interface Harness {
  foundation: Foundation;
  worker: Workerd;
  token: string;
  /**
   * Pushes through the Worker. Whatever goes wrong behind it, the push succeeds, and the package is the directory.
   *
   * @param label for the table
   */
  push(directory: string, label: string, by?: PushOptions): Promise<PushResult>;
  /** Pushes as `push` does, where the push may fail: then with a message. */
  tryPush(directory: string, label: string, by?: PushOptions): Promise<PushResult | PushFailed>;
  /** Pushes past the Worker, so that the Cloud Controller knows what the cache has never heard of. */
  pushDirectly(directory: string): Promise<void>;
  /** Requests for matches that the Cloud Controller has got since the last push began. */
  originRequests(): number;
  /** How many resources each of those asked for that it has answered. */
  originRequestSizes(): number[];
  /** Sends a command to the Worker's test entry. */
  command(method: string, path: string, body?: string | object): Promise<Response>;
  /** Puts all files of a directory into the resource pool, as a push would. */
  fillPool(directory: string): Promise<void>;
  /** Tells the catalog, as the operator does, of files that the pool holds, and of SHA-1s that it does not. */
  report(told: { present?: readonly Resource[]; removed?: readonly string[] }): Promise<void>;
  /** What the catalog says of itself. */
  catalogStatus(): Promise<CatalogStatus>;
  /** SHA-1s of all that the catalog holds. */
  listCatalog(): Promise<string[]>;
  /** Waits until the catalog has published all that it knows, and replaces the isolate. Time passes at once. */
  waitUntilPublished(): Promise<void>;
  /**
   * Waits until the catalog holds so many resources and has published them, and replaces the isolate, which would else
   * go on with its copy of the manifest for a while. Time passes at once.
   */
  waitForEntries(entries: number): Promise<void>;
  /** Has a new snapshot published, waits until nothing has changed since, and replaces the isolate. */
  publishSnapshot(): Promise<void>;
  /** Lets time pass at once, for the isolate and the catalog. */
  advanceClock(ms: number): Promise<void>;
  /** How many keys of resources KV has. */
  countKeys(): Promise<number>;
  readCounts(): Promise<Counts>;
  /** Waits until the fault of the moment has been met so many times. Time passes at once. */
  waitForFaults(times: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startHarness({
  title,
  variables = {},
  bucket,
  minimumSize = 0,
  onLine,
}: HarnessOptions): Promise<Harness> {
  const directory = await mkdtemp(join(tmpdir(), "e2e-"));
  const limits = { minimumSize };
  const foundation = await startFoundation({ poolDirectory: join(directory, "pool"), limits });
  const { uaa, cloudController } = foundation;
  const token = await uaa.issueToken();
  const log = new MatchedLog();
  const table = new TierTable(title);
  const worker = await startWorkerd({
    modules: inject("workerInHand"),
    variables: { UAA_URL: uaa.url, CLOUD_CONTROLLER_URL: cloudController.url, ...variables },
    hasBucket: bucket,
    onLine(line) {
      log.readLine(line);
      onLine?.(line);
    },
  });
  const command: Harness["command"] = async (method, path, body) => {
    const text = typeof body === "object" ? JSON.stringify(body) : body;
    const response = await fetch(`${worker.url}/__test/${path}`, { method, body: text ?? null });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const answer = async <T>(path: string) => (await (await command("GET", path)).json()) as T;
  const catalog = () => answer<CatalogStatus>("catalog");
  const pass = async (ms: number) => void (await command("POST", `time/${ms}`));
  const counts = () => answer<Counts>("counts");
  const timeout = { timeout: PUBLISHED_MAX_MS, interval: POLL_MS };
  const until = async (isSo: (status: CatalogStatus) => boolean) => {
    await vi.waitFor(async () => expect(await catalog()).toSatisfy(isSo), timeout);
  };
  const tryPush: Harness["tryPush"] = async (directory, label, { user, onResponse } = {}) => {
    const identity = user === undefined ? {} : { user: { id: user, name: user } };
    const target = { url: worker.url, token: await uaa.issueToken(identity) };
    const requestIds: string[] = [];
    cloudController.stats.reset();
    const pushed = await push(directory, target, {
      async onResponse(requestId) {
        requestIds.push(requestId);
        await onResponse?.(requestIds.length);
      },
    }).catch((error) => {
      if (error instanceof PushFailed) return error;
      throw error;
    });
    const figures = await log.sumTiers(requestIds);
    if (pushed instanceof PushFailed) {
      table.addFailed(label, pushed.message, figures);
      return pushed;
    }
    table.add(label, pushed, figures);
    const mayAddMode = pushed.warnings.some((warning) => MODE_WARNING.test(warning));
    expect(await comparePackage(pushed.packageGuid, directory, target, { mayAddMode })).toEqual([]);
    return { ...pushed, ...figures, cached: figures.snapshot + figures.keys };
  };
  const operate = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${worker.url}/v3/resource_matches/cache/${path}`, {
      method,
      headers: { Authorization: `bearer ${await uaa.issueToken({ scopes: ["cloud_controller.admin"] })}` },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const untilSettled = async () => {
    await pass(PACE_MS);
    await until(({ dirtySince }) => dirtySince === null);
    await command("DELETE", "isolate");
  };
  const close = async () => {
    table.print();
    await Promise.all([worker.stop(), foundation.close()]);
    await rm(directory, { recursive: true, force: true });
  };
  return {
    foundation,
    worker,
    token,
    command,
    stop: close,
    async push(directory, label, by) {
      const pushed = await tryPush(directory, label, by);
      if (pushed instanceof PushFailed) throw pushed;
      return pushed;
    },
    tryPush,
    async pushDirectly(directory) {
      await push(directory, { url: cloudController.url, token });
    },
    originRequests: () => cloudController.stats.requests["POST /v3/resource_matches"] ?? 0,
    originRequestSizes: () => cloudController.stats.resourcesPerRequest,
    async fillPool(directory) {
      const files = (await gatherDirectory(directory)).filter(({ size }) => size > 0);
      await mapConcurrently(files, FILES_AT_A_TIME, ({ path, sha1, size }) =>
        cloudController.pool.add(sha1, size, readFileSync(join(directory, path))),
      );
    },
    async report({ present = [], removed = [] }) {
      await operate("POST", "observations", {
        present: present.map(({ sha1, size }) => ({ checksum: { value: sha1 }, size_in_bytes: size })),
        removed: removed.map((sha1) => ({ checksum: { value: sha1 } })),
      });
    },
    catalogStatus: catalog,
    async listCatalog() {
      const sha1s: string[] = [];
      for (let after: string | undefined = ""; after !== undefined; ) {
        const page = await operate("GET", `resources${after && `?after=${after}`}`);
        const { resources, after: next } = (await page.json()) as ResourcePage;
        sha1s.push(...resources.map(({ checksum }) => checksum.value));
        after = next;
      }
      return sha1s;
    },
    waitUntilPublished: untilSettled,
    async waitForEntries(entries) {
      await until((status) => status.entries === entries);
      await untilSettled();
    },
    async publishSnapshot() {
      const { snapshot: before } = await catalog();
      await command("POST", "snapshot");
      await pass(PACE_MS);
      await until(({ snapshot }) => snapshot?.id !== before?.id);
      await pass(PACE_MS);
      await until(({ published, dirtySince }) => {
        const { added, removed } = published?.delta ?? { added: 1, removed: 0 };
        return dirtySince === null && added + removed === 0;
      });
      await command("DELETE", "isolate");
    },
    advanceClock: pass,
    countKeys: () => answer<number>("keys"),
    readCounts: counts,
    async waitForFaults(times) {
      await pass(PACE_MS);
      await vi.waitFor(
        async () => expect((await counts()).injectedFaults).toBeGreaterThanOrEqual(times),
        timeout,
      );
    },
  };
}
