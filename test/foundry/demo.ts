import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Resource } from "../../src/resource-match/request.ts";

/** A request whose answer is known beforehand. */
export interface Demo {
  held: Resource[];
  /** The held ones, and one that no pool has. */
  resources: Resource[];
}

const HELD_COUNT = 2;

/**
 * Asks about the first files of a directory and about one that does not exist.
 *
 * @param directory its path, as the paths of the resources shall begin
 */
export async function demoOf(root: string, directory: string): Promise<Demo> {
  const entries = await readdir(join(root, directory), { withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ name }) => `${directory}/${name}`);
  const held = await Promise.all(
    files
      .sort()
      .slice(0, HELD_COUNT)
      .map(async (path) => {
        const { mode } = await stat(join(root, path));
        return resource(path, await readFile(join(root, path)), mode & 0o777);
      }),
  );
  return {
    held,
    resources: [...held, resource(`${directory}/not-held.txt`, Buffer.from("held by nobody"), 0o644)],
  };
}

/** A command line for sh that sends the request and shows the answer with its status. */
export function curlOf(url: string, token: string, resources: readonly Resource[]): string {
  return [
    `curl -si ${url}/v3/resource_matches`,
    `  -H ${quote(`Authorization: Bearer ${token}`)}`,
    `  -H 'Content-Type: application/json'`,
    `  -d ${quote(JSON.stringify({ resources }))}`,
  ].join(" \\\n");
}

function resource(path: string, content: Buffer, mode: number): Resource {
  const value = createHash("sha1").update(content).digest("hex");
  return { checksum: { value }, size_in_bytes: content.length, path, mode: mode.toString(8) };
}

/** One word for sh. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
