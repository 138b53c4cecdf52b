/**
 * The benchmark: all sections, or those that are named.
 *
 *     npm run bench -- pipeline http
 */
import { exitWithUsage, parseCommandLine } from "../support/node/command-line.ts";
import { textTable } from "../support/table.ts";
import { bundle } from "./sections/bundle.ts";
import { catalog } from "./sections/catalog.ts";
import { cold } from "./sections/cold.ts";
import { first } from "./sections/first.ts";
import { hostile } from "./sections/hostile.ts";
import { http } from "./sections/http.ts";
import { kv } from "./sections/kv.ts";
import { load } from "./sections/load.ts";
import { pipeline } from "./sections/pipeline.ts";
import { snapshot } from "./sections/snapshot.ts";
import { wrong } from "./sections/wrong.ts";
import { describeMachine } from "./support/machine.ts";
import { storeFindings, toTargetTable, writeSummary } from "./support/results.ts";
import type { Section, Table, Target } from "./support/section.ts";

// What is measured in this process comes first, before others have filled its heap.
const SECTIONS: Section[] = [
  pipeline,
  wrong,
  hostile,
  snapshot,
  catalog,
  cold,
  first,
  http,
  load,
  kv,
  bundle,
];
const names = SECTIONS.map(({ name }) => name);

const USAGE = `Usage: npm run bench -- [section…]

Measures all sections, or those that are named, and writes what it finds to
test/bench/results. There are
  ${names.join(", ")}

Options:
  --help  shows this`;

const { positionals: wanted } = parseCommandLine(USAGE, {}, { allowPositionals: true });
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) exitWithUsage(`There is no section ${unknown.join(", ")}.`, USAGE);

const targets: Target[] = [];
for (const { name, run } of SECTIONS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const on = describeMachine();
  const findings = await run();
  await storeFindings(name, on, findings);
  for (const table of findings.tables) print(table);
  targets.push(...findings.targets);
}
await writeSummary(names);
print(toTargetTable(targets));

function print({ title, columns, rows, note }: Table): void {
  console.log([`\n${title}`, "", textTable(columns, rows), ...(note ? ["", note] : [])].join("\n"));
}
