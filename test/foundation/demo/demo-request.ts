import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Resource } from "../../../src/resource-match/resource-schema.ts";
import { PERMISSIONS } from "../file-mode.ts";
import { generateBytes } from "./demo-files.ts";

/** A request for matches whose response is known. */
export interface DemoRequest {
  /** The resources that are matched. */
  present: Resource[];
  /** One resource that is in no pool. */
  missing: Resource;
}

const PRESENT_COUNT = 2;

/** Creates a request for the first files of a directory, and for a file that does not exist. */
export async function createDemoRequest(directory: string): Promise<DemoRequest> {
  const paths = (await readdir(directory)).sort().slice(0, PRESENT_COUNT);
  const present = await Promise.all(
    paths.map(async (path) => {
      const { mode } = await stat(join(directory, path));
      return toResource(path, await readFile(join(directory, path)), mode & PERMISSIONS);
    }),
  );
  return { present, missing: toResource("not-in-pool.bin", generateBytes("a file in no pool"), 0o644) };
}

/** Formats a command for sh that sends the request with the token in CF_TOKEN, and prints status, headers and body. */
export function formatCurl(url: string, resources: readonly Resource[]): string {
  return [
    `curl -si ${url}/v3/resource_matches \\`,
    `  -H "Authorization: bearer $CF_TOKEN" \\`,
    `  -H "Content-Type: application/json" -d '{"resources": [`,
    resources.map((resource) => `    ${formatResource(resource)}`).join(",\n"),
    `  ]}'`,
  ].join("\n");
}

/** Two lines, neither wider than a terminal of 80 columns. */
function formatResource({ checksum, size_in_bytes, path, mode }: Resource): string {
  const rest = JSON.stringify({ size_in_bytes, path, mode }).slice(1);
  return `{"checksum": ${JSON.stringify(checksum)},\n     ${rest}`;
}

function toResource(path: string, content: Buffer, mode: number): Resource {
  const value = createHash("sha1").update(content).digest("hex");
  return { checksum: { value }, size_in_bytes: content.length, path, mode: mode.toString(8) };
}
