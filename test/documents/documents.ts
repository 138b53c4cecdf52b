import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Markdown, readMarkdown, type Table } from "./markdown.ts";

export const PROJECT = join(import.meta.dirname, "../..");

const NOT_OURS = ["node_modules", "dist"];

/** Every markdown file of the project, by its path. */
export function readDocuments(): Map<string, Markdown> {
  const paths = globSync("**/*.md", {
    cwd: PROJECT,
    exclude: (path) => NOT_OURS.includes(path.split("/").at(-1) ?? ""),
  });
  return new Map(paths.map((path) => [path, readMarkdown(readFileSync(join(PROJECT, path), "utf8"))]));
}

/** The tables of a document whose header is this one. */
export function findTables(path: string, ...header: string[]): Table[] {
  const { tables } = readMarkdown(readFileSync(join(PROJECT, path), "utf8"));
  return tables.filter((table) => table.header.join() === header.join());
}
