import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, inject, vi } from "vitest";
import type { ResourcePage } from "../../src/operator-api/responses.ts";
import { gatherDirectory } from "../foundation/cf-push/app-directory.ts";
import { PushFailed } from "../foundation/cf-push/cf-connection.ts";
import { type Push, push } from "../foundation/cf-push/push-client.ts";
import { mapConcurrently } from "../foundation/concurrency.ts";
import { MatchedLog, type TierMatches } from "../foundation/demo/matched-log.ts";
import { type Foundation, startFoundation } from "../foundation/foundation.ts";
import { comparePackage } from "../support/node/package-comparison.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";
import { TierTable } from "./tier-table.ts";

/** The timeout of a hook that starts a harness and fills it. */
export const START_TIMEOUT_MS = 60_000;
const PUBLISH_TIMEOUT_MS = 40_000;
const POLL_MS = 50;
const CONCURRENT_FILES = 8;
/** The Worker's warning that it matched a file with a mode to which it added bits. */
const MODE_WARNING = /^[\d,]+ files? got the permissions that the platform requires/;
/** The catalog writes manifests at least this far apart, and waits as long after a failure. */
const PUBLISH_INTERVAL_MS = 10_000;

interface HarnessOptions {
  /** Whether POOL_BUCKET is bound and its event queue consumed. */
  bucket: boolean;
  /** The title of the table of pushes. */
  title: string;
  /** Variables of the Worker, besides UAA_URL and CLOUD_CONTROLLER_URL. */
  variables?: Record<string, string>;
  /** The Cloud Controller's minimum size of a file in the pool, in bytes. Default: 0, so that small files will do. */
  minimumSize?: number;
  /** Gets each line that the Worker logs. */
  onLine?: (line: string) => void;
}

interface PushOptions {
  /** The user who pushes; default: the user of `token`. Users do not share push sessions. */
  user?: string;
  /** Called after each response to a request for matches, with the number of responses so far. */
  onResponse?: (responses: number) => Promise<unknown>;
}

export interface Resource {
  sha1: string;
  /** Bytes. */
  size: number;
}

/** A successful push. `cached` counts the matches of snapshot, delta and keys. */
export type PushResult = Push & TierMatches & { cached: number };

/** The members of the catalog's status that tests use. */
interface CatalogStatus {
  entries: number;
  keys_waiting: number;
  published: { at: string; delta: { added: number; removed: number } } | null;
  snapshot: { id: string; entries: number } | null;
  suspended_until: string | null;
  dirty_since: string | null;
}

/** The counters of the Worker's test entry. */
interface Counts {
  /** Resource keys that were read from KV. */
  keysRead: number;
  /** Operations that the current fault was injected into. */
  injectedFaults: number;
  /** Events of the bucket that the consumer has handled. */
  handledEvents: number;
}

/** A foundation with the Worker in front of it. */
export interface Harness {
  foundation: Foundation;
  worker: Workerd;
  token: string;
  /**
   * Pushes through the Worker. The push must succeed, and the package must equal the directory.
   *
   * @param label of the row in the table of pushes
   */
  push(directory: string, label: string, options?: PushOptions): Promise<PushResult>;
  /** Pushes through the Worker. The push may fail, with a message. */
  tryPush(directory: string, label: string, options?: PushOptions): Promise<PushResult | PushFailed>;
  /** Pushes to the Cloud Controller directly, so that the cache does not observe it. */
  pushDirectly(directory: string): Promise<void>;
  /** How many requests for matches the Cloud Controller has received since the last push began. */
  originRequests(): number;
  /** The number of resources in each of those requests that it has responded to. */
  originRequestSizes(): number[];
  /** Sends a command to the Worker's test entry. */
  command(method: string, path: string, body?: string | object): Promise<Response>;
  /** Adds all files of a directory to the pool. */
  fillPool(directory: string): Promise<void>;
  /** Reports observations by the operator API. */
  report(observations: { present?: readonly Resource[]; removed?: readonly string[] }): Promise<void>;
  catalogStatus(): Promise<CatalogStatus>;
  /** The SHA-1s of all resources in the catalog. */
  listCatalog(): Promise<string[]>;
  /** Moves the clock on, waits until the catalog has published everything, and replaces the isolate. */
  waitUntilPublished(): Promise<void>;
  /**
   * Waits until the catalog has this many resources, then until they are published. Replaces the isolate, which would otherwise use
   * its cached manifest for up to a minute.
   */
  waitForEntries(entries: number): Promise<void>;
  /** Publishes a new snapshot, waits until the delta is empty, and replaces the isolate. */
  publishSnapshot(): Promise<void>;
  /** Moves the clock of the isolate and the catalog on. */
  advanceClock(ms: number): Promise<void>;
  /** The number of resource keys in KV. */
  countKeys(): Promise<number>;
  readCounts(): Promise<Counts>;
  /** Moves the clock on, and waits until the current fault was injected into this many operations. */
  waitForFaults(operations: number): Promise<void>;
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
    modules: inject("controlledWorker"),
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
  const read = async <T>(path: string) => (await (await command("GET", path)).json()) as T;
  const catalogStatus = () => read<CatalogStatus>("catalog");
  const readCounts = () => read<Counts>("counts");
  const replaceIsolate = () => command("DELETE", "isolate");
  const advanceClock = async (ms: number) => void (await command("POST", `time/${ms}`));
  const timeout = { timeout: PUBLISH_TIMEOUT_MS, interval: POLL_MS };
  const waitForStatus = async (isReached: (status: CatalogStatus) => boolean) => {
    await vi.waitFor(async () => expect(await catalogStatus()).toSatisfy(isReached), timeout);
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
    const matches = await log.sumTiers(requestIds);
    if (pushed instanceof PushFailed) {
      table.addFailed(label, pushed.message, matches);
      return pushed;
    }
    table.add(label, pushed, matches);
    const mayAddMode = pushed.warnings.some((warning) => MODE_WARNING.test(warning));
    expect(await comparePackage(pushed.packageGuid, directory, target, { mayAddMode })).toEqual([]);
    return { ...pushed, ...matches, cached: matches.snapshot + matches.keys };
  };
  const callOperatorApi = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${worker.url}/v3/resource_matches/cache/${path}`, {
      method,
      headers: { Authorization: `bearer ${await uaa.issueToken({ scopes: ["cloud_controller.admin"] })}` },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const waitUntilPublished = async () => {
    await advanceClock(PUBLISH_INTERVAL_MS);
    await waitForStatus((status) => status.dirty_since === null);
    await replaceIsolate();
  };
  return {
    foundation,
    worker,
    token,
    command,
    async push(directory, label, options) {
      const pushed = await tryPush(directory, label, options);
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
      await mapConcurrently(files, CONCURRENT_FILES, ({ path, sha1, size }) =>
        cloudController.pool.add(sha1, size, readFileSync(join(directory, path))),
      );
    },
    async report({ present = [], removed = [] }) {
      await callOperatorApi("POST", "observations", {
        present: present.map(({ sha1, size }) => ({ checksum: { value: sha1 }, size_in_bytes: size })),
        removed: removed.map((sha1) => ({ checksum: { value: sha1 } })),
      });
    },
    catalogStatus,
    async listCatalog() {
      const sha1s: string[] = [];
      for (let after: string | undefined = ""; after !== undefined; ) {
        const response = await callOperatorApi("GET", `resources${after && `?after=${after}`}`);
        const page = (await response.json()) as ResourcePage;
        sha1s.push(...page.resources.map(({ checksum }) => checksum.value));
        after = page.after;
      }
      return sha1s;
    },
    waitUntilPublished,
    async waitForEntries(entries) {
      await waitForStatus((status) => status.entries === entries);
      await waitUntilPublished();
    },
    async publishSnapshot() {
      const { snapshot: before } = await catalogStatus();
      await command("POST", "snapshot");
      await advanceClock(PUBLISH_INTERVAL_MS);
      await waitForStatus(({ snapshot }) => snapshot?.id !== before?.id);
      await advanceClock(PUBLISH_INTERVAL_MS);
      await waitForStatus(({ published, dirty_since: dirtySince }) => {
        const { added, removed } = published?.delta ?? { added: 1, removed: 0 };
        return dirtySince === null && added + removed === 0;
      });
      await replaceIsolate();
    },
    advanceClock,
    countKeys: () => read<number>("keys"),
    readCounts,
    async waitForFaults(operations) {
      await advanceClock(PUBLISH_INTERVAL_MS);
      await vi.waitFor(
        async () => expect((await readCounts()).injectedFaults).toBeGreaterThanOrEqual(operations),
        timeout,
      );
    },
    async stop() {
      table.print();
      await Promise.all([worker.stop(), foundation.close()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
