import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Markdown, readMarkdown, type Table } from "./markdown.ts";

export const PROJECT = join(import.meta.dirname, "../..");

const SKIPPED_DIRECTORIES = ["node_modules", "dist"];

/** Reads every Markdown file of the project. Returns them by path. */
export function readDocuments(): Map<string, Markdown> {
  const paths = globSync("**/*.md", {
    cwd: PROJECT,
    exclude: (path) => SKIPPED_DIRECTORIES.includes(path.split("/").at(-1) ?? ""),
  });
  return new Map(paths.map((path) => [path, readMarkdown(readFileSync(join(PROJECT, path), "utf8"))]));
}

/** Returns the tables of a document that have exactly this header. */
export function findTables(path: string, ...header: string[]): Table[] {
  const { tables } = readMarkdown(readFileSync(join(PROJECT, path), "utf8"));
  return tables.filter((table) => table.header.join() === header.join());
}
