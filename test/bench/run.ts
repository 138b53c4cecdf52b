/**
 * Runs all sections of the benchmark, or those that are named.
 *
 *     npm run bench -- pipeline http
 */
import { exitWithUsage, parseCommandLine } from "../support/node/command-line.ts";
import { textTable } from "../support/table.ts";
import { bundle } from "./sections/bundle.ts";
import { catalog } from "./sections/catalog.ts";
import { cold } from "./sections/cold.ts";
import { coldPush } from "./sections/cold-push.ts";
import { firstRequest } from "./sections/first-request.ts";
import { http } from "./sections/http.ts";
import { invalid } from "./sections/invalid.ts";
import { kv } from "./sections/kv.ts";
import { largeBodies } from "./sections/large-bodies.ts";
import { load } from "./sections/load.ts";
import { memory } from "./sections/memory.ts";
import { pipeline } from "./sections/pipeline.ts";
import { snapshot } from "./sections/snapshot.ts";
import { describeMachine } from "./support/machine.ts";
import { storeFindings, toTargetTable, writeSummary } from "./support/results.ts";
import type { Section, Table, Target } from "./support/section.ts";

// Sections that measure this process come first, before others fill its heap.
const SECTIONS: Section[] = [
  pipeline,
  invalid,
  largeBodies,
  snapshot,
  catalog,
  cold,
  firstRequest,
  coldPush,
  http,
  load,
  memory,
  kv,
  bundle,
];
const names = SECTIONS.map(({ name }) => name);

const USAGE = `Usage: npm run bench -- [section…]

Runs all sections of the benchmark, or those that are named. Writes the results
to test/bench/results. Sections:
  ${names.slice(0, 6).join(", ")},
  ${names.slice(6).join(", ")}

Options:
  --help  show this help`;

const { positionals: wanted } = parseCommandLine(USAGE, {}, { allowPositionals: true });
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) exitWithUsage(`Unknown section: ${unknown.join(", ")}.`, USAGE);

const targets: Target[] = [];
for (const { name, run } of SECTIONS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const machine = describeMachine();
  const findings = await run();
  await storeFindings(name, machine, findings);
  for (const table of findings.tables) print(table);
  targets.push(...findings.targets);
}
await writeSummary(names);
print(toTargetTable(targets));

function print({ title, columns, rows, note }: Table): void {
  console.log([`\n${title}`, "", textTable(columns, rows), ...(note ? ["", note] : [])].join("\n"));
}
