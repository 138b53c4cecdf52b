import type { Command } from "commander";
import { chunks } from "../../chunks.ts";
import { formatCount, formatNumber } from "../../format.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../../platform-limits.ts";
import { type Endpoint, type EndpointOptions, endpointOf, withEndpointOptions } from "../api/endpoint.ts";
import { type ApiResource, matchedChecksums } from "../api/matches.ts";
import { sizeLimitsOf } from "../api/size-limits.ts";
import { appFiles, type LeftOut, noFileIn, type ReadFile } from "../app-files/app-files.ts";
import { Exit } from "../terminal/exit.ts";
import { bytes, print, printJson, table } from "../terminal/output.ts";
import { Progress } from "../terminal/progress.ts";

interface CheckOptions extends EndpointOptions {
  json?: boolean;
}

/** `held` is left out of an upload; all the others are in it, `link` and `empty` without having been asked for. */
type Status = "matched" | "upload" | "link" | "empty";

/** What becomes of a file, and why it is uploaded where its size is the reason. */
interface Verdict {
  status: Status;
  reason?: "too small" | "too large";
}

export function registerCheck(program: Command): void {
  const command = program
    .command("check")
    .summary("ask a running endpoint which files a push would upload")
    .description(
      "Asks a running POST /v3/resource_matches about the files of an app, just as `cf push` does: 5,000 at a " +
        "time, one request after the other. Prints which of them the platform holds and which would be uploaded.\n\n" +
        "Symbolic links and empty files are never asked for and always uploaded; they are shown as `link` and " +
        "`empty`. Files outside the Worker's size limits are shown with that as the reason, where the token may see the " +
        "limits. Nothing is uploaded, and the cache is not changed.",
    )
    .argument("<path...>", "directories, archives (.zip, .jar, .war, .ear) or files")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      '\nExample:\n  export CF_TOKEN="$(cf oauth-token)"\n' +
        "  resource-pool check dist/ --url https://api.example.com",
    );

  withEndpointOptions(command).action(async (paths: string[], options: CheckOptions) => {
    const endpoint = endpointOf(options);
    const leftOut: LeftOut = { count: 0 };
    const files = await gather(paths, leftOut);
    const matched = await ask(endpoint, files);

    const hashed = files.filter((file) => file.kind === "hashed");
    const isAllHeld = hashed.every(({ sha1 }) => matched.has(sha1));
    const limits = isAllHeld ? undefined : await sizeLimitsOf(endpoint);
    const verdictOf = (file: ReadFile): Verdict => {
      if (file.kind !== "hashed") return { status: file.kind };
      if (matched.has(file.sha1)) return { status: "matched" };
      if (limits && file.size < limits.minimum) return { status: "upload", reason: "too small" };
      if (limits && file.size > limits.maximum) return { status: "upload", reason: "too large" };
      return { status: "upload" };
    };
    if (options.json) await printJson(asJson(files, verdictOf, leftOut));
    else await printTable(files, verdictOf);
    if (leftOut.count > 0) throw new Exit(files.length > 0 ? "done-in-part" : "failed");
    if (hashed.length === 0) throw noFileIn(paths);
  });
}

async function gather(paths: readonly string[], leftOut: LeftOut): Promise<ReadFile[]> {
  const progress = new Progress();
  const files: ReadFile[] = [];
  for await (const file of await appFiles(paths, leftOut)) {
    files.push(file);
    progress.update(() => `${formatCount(files.length, "file")} read`, files.length);
  }
  progress.clear();
  return files;
}

/** As cf CLI does: every file that is not empty, whatever else has the same content. */
async function ask(endpoint: Endpoint, files: readonly ReadFile[]): Promise<Set<string>> {
  const progress = new Progress();
  const resources = files.flatMap((file): ApiResource[] =>
    file.kind !== "hashed"
      ? []
      : [
          {
            checksum: { value: file.sha1 },
            size_in_bytes: file.size,
            path: file.path,
            mode: file.mode.toString(8),
          },
        ],
  );
  const matched = new Set<string>();
  let asked = 0;
  for (const chunk of chunks(resources, RESOURCES_PER_REQUEST_MAX)) {
    for (const checksum of await matchedChecksums(endpoint, chunk)) matched.add(checksum);
    asked += chunk.length;
    progress.update(
      () => `${formatNumber(asked)} of ${formatCount(resources.length, "file")} asked for`,
      asked,
      resources.length,
    );
  }
  progress.clear();
  return matched;
}

function summaryOf(files: readonly ReadFile[], verdictOf: (file: ReadFile) => Verdict) {
  const summary = {
    asked: { files: 0, bytes: 0 },
    matched: { files: 0, bytes: 0 },
    toUpload: { files: 0, bytes: 0 },
    neverAsked: { links: 0, empty: 0 },
    /** Per cent of the bytes. */
    saved: 0,
  };
  for (const file of files) {
    const { status } = verdictOf(file);
    if (status === "link") summary.neverAsked.links += 1;
    if (status === "empty") summary.neverAsked.empty += 1;
    if (file.kind !== "hashed") continue;
    for (const sum of [summary.asked, status === "matched" ? summary.matched : summary.toUpload]) {
      sum.files += 1;
      sum.bytes += file.size;
    }
  }
  const { asked, matched } = summary;
  // Rounded down: 100 means all.
  summary.saved = asked.bytes === 0 ? 0 : Math.floor((matched.bytes / asked.bytes) * 1000) / 10;
  return summary;
}

function asJson(
  files: readonly ReadFile[],
  verdictOf: (file: ReadFile) => Verdict,
  { count }: LeftOut,
): object {
  return {
    files: files.map((file) => ({
      ...verdictOf(file),
      path: file.path,
      mode: file.mode.toString(8),
      ...(file.kind === "hashed" ? { sha1: file.sha1, size: file.size } : {}),
    })),
    summary: { ...summaryOf(files, verdictOf), leftOut: count },
  };
}

async function printTable(files: readonly ReadFile[], verdictOf: (file: ReadFile) => Verdict): Promise<void> {
  const rows = files.map((file) => {
    const { status, reason = "" } = verdictOf(file);
    return [status, file.kind === "hashed" ? bytes(file.size) : "", printable(file.path), reason];
  });
  if (rows.length > 0) await print(`${table(rows, [1])}\n`);

  const { asked, matched, toUpload, neverAsked, saved } = summaryOf(files, verdictOf);
  const always = `${formatCount(neverAsked.empty, "empty file")}, ${formatCount(neverAsked.links, "symbolic link")}`;
  await print(
    table([
      ["asked for", formatCount(asked.files, "file"), bytes(asked.bytes)],
      [
        "matched",
        formatCount(matched.files, "file"),
        bytes(matched.bytes),
        matched.files === asked.files ? "all of them" : "",
      ],
      ["to upload", formatCount(toUpload.files, "file"), bytes(toUpload.bytes)],
      ["always uploaded", always],
      ["saved", `${saved} %`, bytes(matched.bytes)],
    ]),
  );
}

/** A name must not be able to steer the terminal. */
function printable(path: string): string {
  return path.replace(/\p{Cc}/gu, "\ufffd");
}
