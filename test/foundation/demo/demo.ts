import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Resource } from "../../../src/resource-match/request.ts";
import { PERMISSIONS } from "../file-mode.ts";
import { generateBytes } from "./contents.ts";

/** A request whose answer is known beforehand. */
export interface DemoRequest {
  present: Resource[];
  /** The held ones, and one that no pool has. */
  resources: Resource[];
}

const HELD_COUNT = 2;

/** Asks about the first files of a directory, and about one of the same kind that does not exist. */
export async function createDemoRequest(directory: string): Promise<DemoRequest> {
  const paths = (await readdir(directory)).sort().slice(0, HELD_COUNT);
  const present = await Promise.all(
    paths.map(async (path) => {
      const { mode } = await stat(join(directory, path));
      return resource(path, await readFile(join(directory, path)), mode & PERMISSIONS);
    }),
  );
  return {
    present,
    resources: [...present, resource("not-held.bin", generateBytes("held by nobody"), 0o644)],
  };
}

/** A command line for sh, which sends the request with the token in CF_TOKEN and shows the answer with its status. */
export function formatCurl(url: string, resources: readonly Resource[]): string {
  return [
    `curl -si ${url}/v3/resource_matches \\`,
    `  -H "Authorization: bearer $CF_TOKEN" -d '{"resources": [`,
    resources.map((resource) => `    ${entryOf(resource)}`).join(",\n"),
    `  ]}'`,
  ].join("\n");
}

/** In two lines, so that a terminal shows it as it is. */
function entryOf({ checksum, size_in_bytes, path, mode }: Resource): string {
  const rest = JSON.stringify({ size_in_bytes, path, mode }).slice(1);
  return `{"checksum": ${JSON.stringify(checksum)},\n     ${rest}`;
}

function resource(path: string, content: Buffer, mode: number): Resource {
  const value = createHash("sha1").update(content).digest("hex");
  return { checksum: { value }, size_in_bytes: content.length, path, mode: mode.toString(8) };
}
