import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { markdownTable } from "../../support/table.ts";
import { toSvg } from "./chart.ts";
import type { Machine } from "./machine.ts";
import { round } from "./measure.ts";
import { type Findings, isMet, type Table, type Target } from "./section.ts";
import { waterfallSvg } from "./waterfall.ts";

const FOLDER = fileURLToPath(new URL("../results/", import.meta.url));

/** The stored findings of a section. */
interface Result extends Findings {
  name: string;
  machine: Machine;
}

/** Stores the findings and the charts of a section. */
export async function storeFindings(name: string, machine: Machine, findings: Findings): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const result: Result = { name, machine, ...findings };
  await writeFile(`${FOLDER}${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
  for (const chart of findings.charts ?? []) await writeFile(`${FOLDER}${chart.name}.svg`, toSvg(chart));
  for (const waterfall of findings.waterfalls ?? []) {
    await writeFile(`${FOLDER}${waterfall.name}.svg`, waterfallSvg(waterfall));
  }
}

/** Writes results.md from the stored results of the sections. */
export async function writeSummary(names: readonly string[]): Promise<void> {
  const results: Result[] = [];
  for (const name of names) {
    const json = await readFile(`${FOLDER}${name}.json`, "utf8").catch(() => undefined);
    if (json !== undefined) results.push(JSON.parse(json));
  }
  const targets = results.flatMap((result) => result.targets);
  const text = [
    "# Results of `npm run bench`",
    "Written by `npm run bench`. [NOTES.md](../NOTES.md) explains the missed targets and lists what was tried.",
    formatTable(toTargetTable(targets)),
    ...results.flatMap(formatSection),
  ];
  await writeFile(`${FOLDER}results.md`, `${text.join("\n\n")}\n`);
}

/** Lists each target, the measured figure, and whether the target is met. */
export function toTargetTable(targets: readonly Target[]): Table {
  return {
    title: "Targets",
    columns: ["target", "at most", "measured", ""],
    rows: targets.map((target) => [
      target.what,
      `${target.atMost}${target.unit}`,
      `${round(target.measured)}${target.unit}`,
      isMet(target) ? "met" : "MISSED",
    ]),
  };
}

function formatSection({ machine, tables, charts = [], waterfalls = [] }: Result): string[] {
  const { date, cpu, cores, memoryGiB, system, load, versions } = machine;
  const versionList = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    ...tables.map(formatTable),
    ...[...charts, ...waterfalls].map(({ name, title }) => `![${title}](${name}.svg)`),
    `<sub>${date.slice(0, 16)}Z · ${cpu}, ${cores} cores, ${memoryGiB} GiB, load ${load} before the run · ${system} · ${versionList.join(", ")}</sub>`,
  ];
}

function formatTable({ title, columns, rows, note }: Table): string {
  return [`## ${title}`, markdownTable(columns, rows), ...(note === undefined ? [] : [note])].join("\n\n");
}
