import { existsSync, lstatSync } from "node:fs";
import { access, constants, mkdir, mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { basename, dirname, join, parse, resolve } from "node:path";
import { formatCommand, quote, type StartOptions } from "./options.ts";

const ROOT = ".wrangler";
const TEMPORARY = "tmp-";
/** For its bundle and databases. */
const WRANGLER_MIN_BYTES = 4 * 1024 * 1024;

/**
 * Returns the directory of the local KV, the Durable Objects, the resource pool and the demo's files. It is in `.wrangler` next to the
 * configuration. The Cloud Controller of this process listens on the port in its name, so that no two starts use one directory, and a
 * killed one leaves no lock.
 */
export function dataDirectory(config: string, cloudControllerPort: number): string {
  return join(dirname(resolve(config)), ROOT, "start", `${parse(config).name}-${cloudControllerPort}`);
}

/** Creates the directory. @throws the error of the file system if a file in it can't be written */
export async function createDataDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await access(directory, constants.W_OK);
  // An earlier start as another user may have left files that workerd can't open.
  const paths = await readdir(directory, { recursive: true });
  await Promise.all(paths.map((path) => requireWritable(join(directory, path))));
}

/** Creates a directory for the temporary files of this process and its child processes, and makes it their TMPDIR. */
export async function createTemporaryDirectory(directory: string): Promise<string> {
  const temporary = await mkdtemp(join(directory, TEMPORARY));
  process.env.TMPDIR = temporary;
  return temporary;
}

/** Deletes the temporary files that killed starts have left. Only while no other start uses the directory. */
export async function deleteOldTemporaryFiles(directory: string, current: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.startsWith(TEMPORARY));
  const old = names.map((name) => join(directory, name)).filter((path) => path !== current);
  await Promise.all(old.map((path) => rm(path, { recursive: true, force: true })));
}

async function requireWritable(path: string): Promise<void> {
  try {
    await access(path, constants.W_OK);
  } catch (error) {
    // Another process may have deleted a temporary file, and links need not lead anywhere.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Explains an error of the file system: what failed, and what to do. Returns undefined for other errors. */
export function explainFileError(
  error: unknown,
  directory: string,
  options: StartOptions,
): string | undefined {
  // A failed write to an open file does not name it.
  const { code = "", path = directory } = error as NodeJS.ErrnoException;
  const explain = REASONS[code];
  if (!explain) return undefined;
  const root = quote(directory.slice(0, directory.lastIndexOf(ROOT) + ROOT.length));
  const { reason, remedy } = explain({ path, root, options });
  return [`Can't write ${path}: ${reason}.`, `npm start keeps its data in ${root}.`, ...remedy].join("\n");
}

/** Explains why wrangler may have failed, which only prints that SQLite did. Returns undefined if the disk has space. */
export async function explainFullDisk(directory: string, options: StartOptions): Promise<string | undefined> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize > WRANGLER_MIN_BYTES) return undefined;
  return explainFileError(Object.assign(new Error(), { code: "ENOSPC" }), directory, options);
}

interface FailedWrite {
  path: string;
  /** The `.wrangler` directory, quoted for sh. */
  root: string;
  options: StartOptions;
}

function startElsewhere({ ports, config = "docs/examples/read-through.toml" }: StartOptions): string[] {
  const directory = join(homedir(), "resource-matches");
  return [
    "Use a configuration in a directory that you may write:",
    `  mkdir -p ${quote(directory)} && cp ${quote(config)} ${quote(directory)}`,
    `  ${formatCommand({ ports, config: join(directory, basename(config)) })}`,
  ];
}

const forbidden = ({ root, path, options }: FailedWrite) => ({
  reason: `the user ${userInfo().username} may not write it`,
  remedy:
    // The directory exists if an earlier start has created it.
    existsSync(path)
      ? [
          "An earlier start ran as another user, for example with sudo. Take over its files:",
          `  sudo chown -R "$(id -u)" ${root}`,
        ]
      : startElsewhere(options),
});

const full = ({ root }: FailedWrite) => ({
  reason: "the disk is full",
  remedy: ["Free some space, and start again.", `To delete the data of earlier starts: rm -r ${root}`],
});

const inTheWay = ({ path }: FailedWrite) => {
  const file = nearestExisting(path);
  return {
    reason: `${file} is a file, but a directory must be there`,
    remedy: [`Move it away, and start again. To look at it: ls -ld ${quote(file)}`],
  };
};

/** The path, or the nearest directory or file above it that exists. */
function nearestExisting(path: string): string {
  try {
    // Not what a link leads to: a link that leads nowhere is in the way, too.
    lstatSync(path);
    return path;
  } catch {
    return nearestExisting(dirname(path));
  }
}

const REASONS: Record<string, (failed: FailedWrite) => { reason: string; remedy: string[] }> = {
  EACCES: forbidden,
  EPERM: forbidden,
  EROFS: ({ options }) => ({ reason: "the file system is read-only", remedy: startElsewhere(options) }),
  ENOSPC: full,
  EDQUOT: full,
  ENOTDIR: inTheWay,
  EEXIST: inTheWay,
};
