import type { Configuration } from "../../../src/configuration.ts";
import type { Foundation } from "../foundation.ts";
import type { DemoConfiguration } from "./configuration.ts";
import { type DemoRequest, formatCurl } from "./demo-request.ts";
import { quote } from "./options.ts";
import { CACHED_MAX_SECONDS, type DemoResult, formatPushes } from "./pushes.ts";

interface DemoState {
  workerUrl: string;
  foundation: Foundation;
  configuration: DemoConfiguration;
  token: string;
  tokenHours: number;
  request: DemoRequest;
  /** Paths that the Worker's response to this request lists. */
  listed: readonly string[];
  /** The directory whose files are in the cache. */
  presentDirectory: string;
  /** The app that was pushed. */
  appDirectory: string;
  /** The resource pool of the local Cloud Controller. */
  poolDirectory: string;
  /** Keeps the data of the demo. */
  dataDirectory: string;
  /** Starts the demo again. */
  startCommand: string;
  /** The outcome of the pushes. */
  result: DemoResult;
  /** Columns of the terminal. */
  columns: number;
}

/** The last line of the introduction. */
export const LAST_LINE = "Press Ctrl-C to stop.";

const COLUMNS_MAX = 80;

/** A paragraph, whose lines are broken between words; or a command or a table, which is printed as it is. */
type Block = string | { verbatim: string };

const verbatim = (text: string): Block => ({ verbatim: text });

/** What `npm start` prints when everything runs. Commands may be wider than the terminal, but only the token exceeds 80 columns. */
export function formatIntroduction(state: DemoState): string {
  const { workerUrl, foundation, token, tokenHours, request, listed } = state;
  const statusPage = `${workerUrl}/v3/resource_matches/cache`;
  const blocks: Block[] = [
    `Ready. The Worker runs with ${state.configuration.path}. ${describeMode(state.configuration.settings)}`,
    verbatim(
      [
        `  Worker            ${workerUrl}`,
        `  Status page       ${statusPage}`,
        `  UAA               ${foundation.uaa.url}`,
        `  Cloud Controller  ${foundation.cloudController.url}`,
      ].join("\n"),
    ),
    describePushes(state),
    verbatim(formatPushes(state.result.pushes, state.configuration.settings)),
    ...explainPushes(state),
    `To send requests yourself, set the token in another terminal. It is valid for ${tokenHours} hours:`,
    verbatim(`export CF_TOKEN=${token}`),
    "Open the status page in a browser. It asks for the token, which is the text after CF_TOKEN=.",
    "Request two files that are in the pool, and one that is not:",
    verbatim(formatCurl(workerUrl, [...request.present, request.missing])),
    `The response is 201 and lists ${listed.join(" and ") || "no file"}. cf push would upload the others.`,
    "Show which files of a directory a push would upload:",
    resourcePoolCommand(`check ${quote(state.presentDirectory)}`, `--url ${workerUrl}`),
    "Show the state of the cache:",
    resourcePoolCommand("status", `--url ${workerUrl}`),
    `The data is kept in ${state.dataDirectory} for the next start.`,
    LAST_LINE,
  ];
  const columns = Math.min(state.columns, COLUMNS_MAX);
  const lines = blocks.map((block) => (typeof block === "string" ? wrap(block, columns) : block.verbatim));
  return `\n${lines.join("\n\n")}\n`;
}

/** On one line, or if it is too long, with a line for each option. */
function resourcePoolCommand(subcommand: string, ...options: string[]): Block {
  const words = [`npm run -s resource-pool -- ${subcommand}`, ...options];
  const line = words.join(" ");
  return verbatim(line.length <= COLUMNS_MAX ? line : words.join(" \\\n  "));
}

function describeMode({ cloudControllerUrl, mode }: Configuration): string {
  if (mode === "shadow")
    return "Shadow mode: the Cloud Controller responds, and the cache is only compared with it.";
  if (cloudControllerUrl) return "Read-through: the Cloud Controller looks up what the cache does not match.";
  return "Cache only: the Worker never calls the Cloud Controller.";
}

function describePushes({ appDirectory, configuration: { settings } }: DemoState): string {
  const through = settings.cloudControllerUrl
    ? "was pushed through the Worker three times"
    : "was pushed three times. As behind a load balancer, the Worker got only the requests for matches, and the Cloud Controller all " +
      "others";
  const columns =
    settings.mode === "shadow"
      ? "how many of its files the Cloud Controller matched, how many were uploaded, and how many the cache would have matched"
      : "how many of its files the cache matched, how many the Cloud Controller matched, and how many were uploaded";
  return `The app in ${appDirectory} ${through}. Its file new.bin is new at each start. The table shows ${columns}:`;
}

/** Says why the table is as it is, in paragraphs. */
function explainPushes(state: DemoState): Block[] {
  const { configuration, result, workerUrl, poolDirectory, startCommand, dataDirectory } = state;
  const { settings } = configuration;
  const lines: Block[] = [];
  const failure = result.pushes[0]?.failure;
  if (failure) {
    lines.push(
      `The first attempt of push 1 failed: ${failure}. The cache had matched a file that the resource pool has lost. The Cloud ` +
        "Controller rejected it, the cache removed it, and the next attempt succeeded.",
    );
  }
  if (result.suspendedUntil) {
    lines.push(explainSuspension(result.suspendedUntil));
    lines.push(verbatim(`rm -r ${quote(dataDirectory)} && ${startCommand}`));
  } else lines.push(...explainMatches(settings, poolDirectory, workerUrl));
  if (result.isLate && !result.suspendedUntil) {
    lines.push(
      `The cache did not have the files within ${CACHED_MAX_SECONDS} seconds, so push 3 shows fewer matches than a later push. Its state ` +
        "is on the status page.",
    );
  }
  if (result.excluded > 0 && settings.features.resourceMatching)
    lines.push(explainExcluded(result, settings));
  if (!settings.features.appBitsUpload) {
    lines.push(
      "FEATURE_APP_BITS_UPLOAD is false: only admins get matches. The token of this demo is an admin's.",
    );
  }
  if (settings.poolBucket) {
    lines.push(
      "POOL_BUCKET is an empty local bucket. The local Cloud Controller keeps its pool in a directory, so no events of the bucket " +
        "update the cache here.",
    );
  }
  return lines;
}

function explainMatches(
  { cloudControllerUrl, mode, features }: Configuration,
  pool: string,
  workerUrl: string,
): Block[] {
  if (!features.resourceMatching) {
    return mode === "shadow"
      ? ["FEATURE_RESOURCE_MATCHING is false, so the cache is not compared with the Cloud Controller."]
      : [
          "FEATURE_RESOURCE_MATCHING is false, so the Worker matches nothing, and each push uploads all files.",
        ];
  }
  if (cloudControllerUrl) return ["A file is added to the cache after the Cloud Controller has matched it."];
  return [
    "Pushes add nothing to the cache. Before push 3, this command added the files of the resource pool, as an operator does every " +
      "night:",
    resourcePoolCommand("sync", `--blobstore ${quote(pool)}`, `--url ${workerUrl}`),
  ];
}

function explainSuspension(until: string): string {
  const minutes = Math.max(1, Math.ceil((Date.parse(until) - Date.now()) / 60_000));
  return (
    `The cache is suspended until ${until}, for ${minutes} more ${minutes === 1 ? "minute" : "minutes"}. The Cloud Controller ` +
    "rejected many of its matches, because the resource pool has lost files. Until then only the Cloud Controller matches; the " +
    "Worker notices a suspension within a minute. So push 3 did not wait for the cache. Wait, or stop and start with an empty cache " +
    "and pool:"
  );
}

function explainExcluded({ excluded, excludedBy, pushes }: DemoResult, settings: Configuration): string {
  const { minimumSize, maximumSize, minimumFileMode = 0 } = settings.eligibility;
  const values = {
    MINIMUM_SIZE: `${minimumSize} bytes`,
    MAXIMUM_SIZE: `${maximumSize} bytes`,
    MINIMUM_FILE_MODE: minimumFileMode.toString(8).padStart(4, "0"),
  };
  const reasons = [...excludedBy].map((name) => `${name} is ${values[name]}`).join(" and ");
  return `${excluded} of the ${pushes[0]?.files} files can't match, because ${reasons}. Each push uploads them.`;
}

/** Breaks lines between words. A word that is too long has a line of its own. */
function wrap(text: string, columns: number): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= columns)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}
