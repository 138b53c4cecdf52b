import { Command } from "commander";
import { chunks } from "../../chunks.ts";
import { formatCount, formatNumber } from "../../format.ts";
import type { CacheStatus } from "../../operator-api/responses.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../../platform-limits.ts";
import { requestCacheStatus } from "../api/cache-client.ts";
import { type Endpoint, type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { type MatchedResource, requestMatches } from "../api/matches.ts";
import { jsonOf } from "../api/send.ts";
import { printable } from "../app-files/app-file.ts";
import { appFiles, noFilesIn, type ReadFile } from "../app-files/app-files.ts";
import { Exit } from "../terminal/exit.ts";
import { formatBytes, printResult, table } from "../terminal/output.ts";
import { withProgress } from "../terminal/progress.ts";

type HashedFile = Extract<ReadFile, { kind: "hashed" }>;

/** What `cf push` does with a file. It always uploads `link` and `empty`. */
interface CheckedFile {
  file: ReadFile;
  status: "matched" | "upload" | "link" | "empty";
  /** Why it is uploaded, or what else happens to it. */
  reason?: string | undefined;
}

/** The Worker's limits. */
interface Rules {
  minimumSize: number;
  maximumSize: number;
  /** Bits that the mode of each file with the same content must have; 0 if any mode will do. */
  modeBits: number;
}

const NO_RULES: Rules = { minimumSize: 0, maximumSize: Number.POSITIVE_INFINITY, modeBits: 0 };

export const checkCommand = new Command("check")
  .summary("show which files of an app a push would upload")
  .description(
    "Shows which files of an app `cf push` would upload. It sends the same requests as `cf push`, and uploads nothing.\n\n" +
      "Each file is `matched`, `upload`, `link` or `empty`. The last two are always uploaded. A file that the Worker's limits " +
      "rule out is marked, like `too small` or `mode 0444 lacks 0600`, if the token may read them. --json also prints the " +
      "`resources` for the upload of a package.",
  )
  .argument("<path...>", "directories, archives (.zip, .jar, .war, .ear) or files")
  .option("--json", "print the result as JSON")
  .addHelpText("after", "\nExample:\n  resource-pool check dist/ --url https://api.example.com")
  .action(async (paths: string[], { json, ...options }: EndpointOptions & { json?: boolean }) => {
    const endpoint = endpointOf(options);
    const counts = { unreadable: 0 };
    const files = await readFiles(paths, counts);
    const resources = await requestResources(endpoint, files);
    const checked = await checkFiles(endpoint, files, resources);
    await printResult(json, asJson(checked, resources, counts.unreadable), asText(checked));
    if (counts.unreadable > 0) throw new Exit(files.length > 0 ? "incomplete" : "failed");
    if (!files.some(isHashed)) throw noFilesIn(paths);
  });

async function readFiles(paths: readonly string[], counts: { unreadable: number }): Promise<ReadFile[]> {
  const files: ReadFile[] = [];
  const state = () => ({ text: `${formatCount(files.length, "file")} read`, done: files.length });
  for await (const file of withProgress(await appFiles(paths, counts), state)) files.push(file);
  return files;
}

function isHashed(file: ReadFile): file is HashedFile {
  return file.kind === "hashed";
}

async function checkFiles(
  endpoint: Endpoint,
  files: readonly ReadFile[],
  resources: readonly MatchedResource[],
): Promise<CheckedFile[]> {
  const matched = new Set(resources.map(({ checksum }) => checksum.value));
  const modes = new Map(resources.map(({ path, mode }) => [path, mode]));
  const areAllMatched = files.every((file) => !isHashed(file) || matched.has(file.sha1));
  const rules = areAllMatched ? NO_RULES : await requestRules(endpoint);
  const lacksBits = ({ mode }: HashedFile) => (mode & rules.modeBits) !== rules.modeBits;
  const lackingBits = new Map(
    files.filter(isHashed).flatMap((file) => (lacksBits(file) ? [[file.sha1, file]] : [])),
  );
  const reasonToUpload = (file: HashedFile) => {
    if (file.size < rules.minimumSize) return "too small";
    if (file.size > rules.maximumSize) return "too large";
    if (lacksBits(file)) return lack(file, rules);
    const twin = lackingBits.get(file.sha1);
    return twin && `same content as ${twin.path}, whose ${lack(twin, rules)}`;
  };
  return files.map((file): CheckedFile => {
    if (!isHashed(file)) return { file, status: file.kind };
    if (!matched.has(file.sha1)) return { file, status: "upload", reason: reasonToUpload(file) };
    const mode = Number.parseInt(String(modes.get(file.path)), 8);
    const isCompleted = !Number.isNaN(mode) && mode !== file.mode;
    const reason = isCompleted ? `mode ${permissions(file.mode)} becomes ${permissions(mode)}` : undefined;
    return { file, status: "matched", reason };
  });
}

function lack({ mode }: HashedFile, { modeBits }: Rules): string {
  return `mode ${permissions(mode)} lacks ${permissions(modeBits)}`;
}

function permissions(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

/**
 * Requests matches for every file that is not empty, even if several have the same content, as cf CLI does.
 *
 * @returns the resources of the responses, which cf CLI sends with an upload as they are
 */
async function requestResources(endpoint: Endpoint, files: readonly ReadFile[]): Promise<MatchedResource[]> {
  const requested = files.filter(isHashed).map(({ sha1, size, path, mode }) => ({
    checksum: { value: sha1 },
    size_in_bytes: size,
    path,
    mode: mode.toString(8),
  }));
  const resources: MatchedResource[] = [];
  const total = requested.length;
  let done = 0;
  const count = formatCount(total, "file");
  const state = () => ({ text: `${formatNumber(done)} of ${count} requested`, done, total });
  for await (const chunk of withProgress(chunks(requested, RESOURCES_PER_REQUEST_MAX), state)) {
    resources.push(...(await requestMatches(endpoint, chunk)));
    done += chunk.length;
  }
  return resources;
}

/** Returns no limits without a Worker, and for a token that may not read its status, like a developer's. */
async function requestRules(endpoint: Endpoint): Promise<Rules> {
  const response = await requestCacheStatus(endpoint).catch(() => undefined);
  if (response?.status !== 200) return NO_RULES;
  const { configuration } = (jsonOf(response) ?? {}) as Partial<CacheStatus>;
  return {
    minimumSize: Number(configuration?.MINIMUM_SIZE),
    maximumSize: Number(configuration?.MAXIMUM_SIZE),
    modeBits: Number.parseInt(String(configuration?.MINIMUM_FILE_MODE ?? 0), 8),
  };
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

function asJson(
  checked: readonly CheckedFile[],
  resources: readonly MatchedResource[],
  unreadable: number,
): object {
  const files = checked.map(({ file, status, reason }) => {
    const { kind, mode, ...facts } = file;
    return { status, reason, mode: mode.toString(8), ...facts };
  });
  const { totals, savedPercent } = summaryOf(checked);
  return { files, resources, summary: { ...totals, savedPercent, unreadable } };
}

function asText(checked: readonly CheckedFile[]): string {
  const rows = checked.map(({ file, status, reason = "" }) => [
    status,
    file.kind === "hashed" ? formatBytes(file.size) : "",
    printable(file.path),
    printable(reason),
  ]);
  const { totals, savedPercent } = summaryOf(checked);
  const summary = Object.entries(totals).map(([status, { files, bytes }]) => [
    status,
    formatCount(files, "file"),
    formatBytes(bytes),
  ]);
  const list = rows.length > 0 ? `${table(rows, [1])}\n\n` : "";
  const saved =
    totals.matched.files + totals.upload.files > 0 ? `\nsaved    ${savedPercent} % of the bytes` : "";
  return `${list}${table(summary)}${saved}`;
}
