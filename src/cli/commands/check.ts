import { Command } from "commander";
import { chunks } from "../../chunks.ts";
import { formatCount, formatNumber } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../../platform-limits.ts";
import { requestCacheStatus } from "../api/cache-client.ts";
import { type Endpoint, type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { requestMatches } from "../api/matches.ts";
import { jsonOf } from "../api/send.ts";
import { printable } from "../app-files/app-file.ts";
import { appFiles, noFilesIn, type ReadFile } from "../app-files/app-files.ts";
import { Exit } from "../terminal/exit.ts";
import { formatBytes, printResult, table } from "../terminal/output.ts";
import { withProgress } from "../terminal/progress.ts";

/** What `cf push` does with a file. It always uploads `link` and `empty`. */
interface CheckedFile {
  file: ReadFile;
  status: "matched" | "upload" | "link" | "empty";
  reason?: "too small" | "too large";
}

export const checkCommand = new Command("check")
  .summary("show which files of an app a push would upload")
  .description(
    "Shows which files of an app `cf push` would upload. It sends the same requests to POST /v3/resource_matches: " +
      "5,000 files at a time, one request after the other.\n\n" +
      "Each file is `matched`, `upload`, `link` or `empty`. `cf push` never requests matches for symbolic links and " +
      "empty files, and always uploads them. If the token may read the Worker's size limits, files outside of them " +
      "are marked `too small` or `too large`.\n\n" +
      "Nothing is uploaded, and the cache does not change.",
  )
  .argument("<path...>", "directories, archives (.zip, .jar, .war, .ear) or files")
  .option("--json", "print the result as JSON")
  .addHelpText(
    "after",
    '\nExample:\n  export CF_TOKEN="$(cf oauth-token)"\n' +
      "  resource-pool check dist/ --url https://api.example.com",
  )
  .action(async (paths: string[], { json, ...options }: EndpointOptions & { json?: boolean }) => {
    const endpoint = endpointOf(options);
    const counts = { unreadable: 0 };
    const files = await readFiles(paths, counts);
    const checked = await checkFiles(endpoint, files);
    await printResult(json, asJson(checked, counts.unreadable), asText(checked));
    if (counts.unreadable > 0) throw new Exit(files.length > 0 ? "incomplete" : "failed");
    if (!files.some(({ kind }) => kind === "hashed")) throw noFilesIn(paths);
  });

async function readFiles(paths: readonly string[], counts: { unreadable: number }): Promise<ReadFile[]> {
  const files: ReadFile[] = [];
  const state = () => ({ text: `${formatCount(files.length, "file")} read`, done: files.length });
  for await (const file of withProgress(await appFiles(paths, counts), state)) files.push(file);
  return files;
}

async function checkFiles(endpoint: Endpoint, files: readonly ReadFile[]): Promise<CheckedFile[]> {
  const matched = await requestChecksums(endpoint, files);
  const areAllMatched = files.every((file) => file.kind !== "hashed" || matched.has(file.sha1));
  const [minimum = 0, maximum = Number.POSITIVE_INFINITY] = areAllMatched
    ? []
    : await requestSizeLimits(endpoint);
  return files.map((file): CheckedFile => {
    if (file.kind !== "hashed") return { file, status: file.kind };
    if (matched.has(file.sha1)) return { file, status: "matched" };
    if (file.size < minimum) return { file, status: "upload", reason: "too small" };
    if (file.size > maximum) return { file, status: "upload", reason: "too large" };
    return { file, status: "upload" };
  });
}

/** Requests matches for every file that is not empty, even if several have the same content, as cf CLI does. */
async function requestChecksums(endpoint: Endpoint, files: readonly ReadFile[]): Promise<Set<string>> {
  const resources = files
    .filter((file) => file.kind === "hashed")
    .map(({ sha1, size, path, mode }) => ({
      checksum: { value: sha1 },
      size_in_bytes: size,
      path,
      mode: mode.toString(8),
    }));
  const matched = new Set<string>();
  const total = resources.length;
  let done = 0;
  const count = formatCount(total, "file");
  const state = () => ({ text: `${formatNumber(done)} of ${count} requested`, done, total });
  for await (const chunk of withProgress(chunks(resources, RESOURCES_PER_REQUEST_MAX), state)) {
    for (const checksum of await requestMatches(endpoint, chunk)) matched.add(checksum);
    done += chunk.length;
  }
  return matched;
}

/** Returns nothing without a Worker, and for a token that may not read its status, like a developer's. */
async function requestSizeLimits(endpoint: Endpoint): Promise<[minimum: number, maximum: number] | []> {
  const response = await requestCacheStatus(endpoint).catch(() => undefined);
  if (response?.status !== 200) return [];
  const { configuration } = (jsonOf(response) ?? {}) as Partial<CacheStatus>;
  return [Number(configuration?.MINIMUM_SIZE), Number(configuration?.MAXIMUM_SIZE)];
}

function summaryOf(checked: readonly CheckedFile[]) {
  const totals = {
    matched: { files: 0, bytes: 0 },
    upload: { files: 0, bytes: 0 },
    link: { files: 0, bytes: 0 },
    empty: { files: 0, bytes: 0 },
  };
  for (const { file, status } of checked) {
    totals[status].files += 1;
    if (file.kind === "hashed") totals[status].bytes += file.size;
  }
  const { matched, upload } = totals;
  const bytes = matched.bytes + upload.bytes;
  // Rounded down: 100 means all.
  const savedPercent = bytes === 0 ? 0 : Math.floor((matched.bytes / bytes) * 1000) / 10;
  return { totals, savedPercent };
}

function asJson(checked: readonly CheckedFile[], unreadable: number): object {
  const files = checked.map(({ file, status, reason }) => {
    const { kind, mode, ...facts } = file;
    return { status, reason, mode: mode.toString(8), ...facts };
  });
  const { totals, savedPercent } = summaryOf(checked);
  return { files, summary: { ...totals, savedPercent, unreadable } };
}

function asText(checked: readonly CheckedFile[]): string {
  const rows = checked.map(({ file, status, reason = "" }) => [
    status,
    file.kind === "hashed" ? formatBytes(file.size) : "",
    printable(file.path),
    reason,
  ]);
  const { totals, savedPercent } = summaryOf(checked);
  const summary = Object.entries(totals).map(([status, { files, bytes }]) => [
    status,
    formatCount(files, "file"),
    formatBytes(bytes),
  ]);
  const list = rows.length > 0 ? `${table(rows, [1])}\n\n` : "";
  return `${list}${table(summary)}\nsaved    ${savedPercent} % of the bytes`;
}
