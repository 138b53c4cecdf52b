import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { markdownTable } from "../../support/table.ts";
import { toSvg } from "./chart.ts";
import type { Machine } from "./machine.ts";
import { rounded } from "./measure.ts";
import { type Findings, isMet, type Table, type Target } from "./section.ts";

const FOLDER = fileURLToPath(new URL("../results/", import.meta.url));

/** What one section has found, as it is stored. */
interface Result extends Findings {
  name: string;
  machine: Machine;
}

/** Stores a section's findings, its charts among them. */
export async function storeFindings(name: string, machine: Machine, findings: Findings): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const result: Result = { name, machine, ...findings };
  await writeFile(`${FOLDER}${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
  for (const chart of findings.charts ?? []) await writeFile(`${FOLDER}${chart.name}.svg`, toSvg(chart));
}

/** Writes results.md anew from what is stored of the sections. */
export async function writeSummary(names: readonly string[]): Promise<void> {
  const results: Result[] = [];
  for (const name of names) {
    const json = await readFile(`${FOLDER}${name}.json`, "utf8").catch(() => undefined);
    if (json !== undefined) results.push(JSON.parse(json));
  }
  const targets = results.flatMap((result) => result.targets);
  const text = [
    "# Results of `npm run bench`",
    "Written by the benchmark; what was tried and what it gave is told in [NOTES.md](../NOTES.md).",
    markdown(toTargetTable(targets)),
    ...results.flatMap(sectionText),
  ];
  await writeFile(`${FOLDER}results.md`, `${text.join("\n\n")}\n`);
}

/** Each target with what was measured, and whether it is met. */
export function toTargetTable(targets: readonly Target[]): Table {
  return {
    title: "Targets",
    columns: ["target", "at most", "verified", ""],
    rows: targets.map((target) => [
      target.what,
      `${target.atMost}${target.unit}`,
      `${rounded(target.measured)}${target.unit}`,
      isMet(target) ? "met" : "MISSED",
    ]),
  };
}

function sectionText({ machine, tables, charts = [] }: Result): string[] {
  const { date, cpu, cores, memoryGiB, system, load, versions } = machine;
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    ...tables.map(markdown),
    ...charts.map(({ name, title }) => `![${title}](${name}.svg)`),
    `<sub>${date.slice(0, 16)}Z · ${cpu}, ${cores} cores, ${memoryGiB} GiB, load ${load} before · ${system} · ${named.join(", ")}</sub>`,
  ];
}

function markdown({ title, columns, rows, note }: Table): string {
  return [`## ${title}`, markdownTable(columns, rows), ...(note === undefined ? [] : [note])].join("\n\n");
}
