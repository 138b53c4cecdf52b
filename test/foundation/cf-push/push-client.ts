import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { archiveEntries } from "./app-archive.ts";
import { type AppEntry, gatherDirectory } from "./app-directory.ts";
import { CfConnection, MATCHES_PATH, PushFailed } from "./cf-connection.ts";
import { type CfResource, decodeMatches, encodeResource } from "./cf-resource.ts";

export interface PushTarget {
  /** URL of the Cloud Controller, or of a Worker in front of it. */
  url: string;
  token: string;
  /** URL that gets the requests for matches, if a load balancer sends only these to a Worker. Default: `url`. */
  matchesUrl?: string;
  /** Default: a random GUID. */
  appGuid?: string;
}

export interface PushOptions {
  /**
   * Sends an empty request for matches after the others if the app has exactly n × 5,000 files and its last entry is empty.
   * cf CLI 7.0 to 8.14 do this, and fail with the 422. Default: false.
   */
  sendsEmptyRequest?: boolean;
  /** Called after each response to a request for matches, before the next request. */
  onResponse?: (requestId: string) => Promise<void> | void;
}

export interface Push {
  packageGuid: string;
  /** Resources in the requests for matches. */
  requested: number;
  /** Resources in the responses. */
  matched: number;
  /** Files in the uploaded archive, including empty ones. */
  uploadedFiles: number;
  /** Bytes of these files. */
  uploadedBytes: number;
  warnings: string[];
  /** The trace id of all requests of the push. */
  traceId: string;
  /** `X-Vcap-Request-Id` of the responses to the requests for matches. */
  matchRequestIds: string[];
  /** Milliseconds that each step took. */
  durations: Record<Step, number>;
}

export type Step = "gather" | "match" | "create" | "archive" | "upload" | "process";

/** cf CLI sends at most this many resources in one request. */
const RESOURCES_PER_REQUEST_MAX = 5_000;
const POLL_MS = 20;

/**
 * Uploads an app as cf CLI 8 and 9 do, and waits until its package is READY.
 *
 * cf CLI does not upload a file if any response lists its checksum. But the upload names only the resources that responses
 * list, with their paths. So a file is lost without an error if its content is matched only under another path.
 * `comparePackage` finds such files.
 *
 * @throws PushFailed if cf CLI would fail; if the package has FAILED, with its error
 */
export async function push(
  directory: string,
  { url, token, matchesUrl = url, appGuid = randomUUID() }: PushTarget,
  { sendsEmptyRequest = false, onResponse }: PushOptions = {},
): Promise<Push> {
  const connection = new CfConnection(url, token, matchesUrl);
  const durations: Push["durations"] = { gather: 0, match: 0, create: 0, archive: 0, upload: 0, process: 0 };
  const timed = async <T>(step: Step, work: Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work;
    durations[step] = performance.now() - start;
    return result;
  };

  const entries = await timed("gather", gatherDirectory(directory));
  if (entries.length === 0) throw new PushFailed(`${directory} is empty`);
  const requests = splitIntoRequests(entries, sendsEmptyRequest);
  const matched = await timed("match", match(requests, connection, onResponse));
  const matchRequestIds = [...connection.requestIds];
  const checksums = new Set(matched.map(({ sha1 }) => sha1));
  const unmatched = entries.filter(({ sha1 }) => !checksums.has(sha1));

  const packageGuid = await timed("create", createPackage(connection, appGuid));
  const scratch = await mkdtemp(join(tmpdir(), "push-"));
  try {
    const archive = unmatched.length > 0 ? join(scratch, "package.zip") : undefined;
    if (archive) await timed("archive", archiveEntries(directory, unmatched, archive));
    await timed("upload", upload(connection, packageGuid, matched, archive));
  } finally {
    await rm(scratch, { recursive: true });
  }
  await timed("process", waitForPackage(connection, packageGuid));

  const files = unmatched.filter(({ kind }) => kind === "file");
  return {
    packageGuid,
    requested: requests.flat().length,
    matched: matched.length,
    uploadedFiles: files.length,
    uploadedBytes: files.reduce((sum, { size }) => sum + size, 0),
    warnings: connection.warnings,
    traceId: connection.traceId,
    matchRequestIds,
    durations,
  };
}

/** Splits the entries with content into requests of at most 5,000. */
function splitIntoRequests(entries: readonly AppEntry[], sendsEmptyRequest: boolean): AppEntry[][] {
  const resources = entries.filter(({ size }) => size !== 0);
  const chunks: AppEntry[][] = [];
  for (let start = 0; start < resources.length; start += RESOURCES_PER_REQUEST_MAX) {
    chunks.push(resources.slice(start, start + RESOURCES_PER_REQUEST_MAX));
  }
  const endsEmpty = chunks.at(-1)?.length === RESOURCES_PER_REQUEST_MAX && entries.at(-1)?.size === 0;
  return sendsEmptyRequest && endsEmpty ? [...chunks, []] : chunks;
}

/** Sends one request after the other. */
async function match(
  requests: readonly (readonly AppEntry[])[],
  connection: CfConnection,
  onResponse: PushOptions["onResponse"],
): Promise<CfResource[]> {
  const matched: CfResource[] = [];
  for (const request of requests) {
    const resources = request.map(encodeResource);
    matched.push(...decodeMatches(await connection.postJson(MATCHES_PATH, { resources })));
    await onResponse?.(connection.requestIds.at(-1) ?? "");
  }
  return matched;
}

async function createPackage(connection: CfConnection, appGuid: string): Promise<string> {
  const response = await connection.postJson("/v3/packages", {
    type: "bits",
    relationships: { app: { data: { guid: appGuid } } },
  });
  return JSON.parse(response.toString()).guid;
}

/** @param archive undefined if every file was matched: then the upload has no part `bits` */
async function upload(
  connection: CfConnection,
  packageGuid: string,
  matched: readonly CfResource[],
  archive: string | undefined,
): Promise<void> {
  const boundary = randomUUID().replaceAll("-", "");
  const head = (disposition: string) => `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n`;
  const resources = `${head('name="resources"')}\r\n${JSON.stringify(matched.map(encodeResource))}\r\n`;
  const tail = `--${boundary}--\r\n`;
  const options = { contentType: `multipart/form-data; boundary=${boundary}` };
  const path = `/v3/packages/${packageGuid}/upload`;
  if (archive === undefined) {
    await connection.send("POST", path, { ...options, body: Buffer.from(resources + tail) });
    return;
  }
  const bits = `${head('name="bits"; filename="package.zip"')}Content-Type: application/octet-stream\r\n\r\n`;
  const [before, after] = [Buffer.from(resources + bits), Buffer.from(`\r\n${tail}`)];
  const stream = Readable.from(
    (async function* () {
      yield before;
      yield* createReadStream(archive);
      yield after;
    })(),
  );
  const length = before.length + (await stat(archive)).size + after.length;
  await connection.send("POST", path, { ...options, body: { stream, length } });
}

async function waitForPackage(connection: CfConnection, packageGuid: string): Promise<void> {
  for (;;) {
    const { state, data } = JSON.parse(
      (await connection.send("GET", `/v3/packages/${packageGuid}`)).toString(),
    );
    if (state === "READY") return;
    if (state === "FAILED") throw new PushFailed(`the package failed: ${data?.error}`);
    await pause(POLL_MS);
  }
}
