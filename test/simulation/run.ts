/**
 * Runs schedules over the simulated platform. For a schedule that breaks a rule it prints the smallest part that still
 * breaks it, its trace, and the command that repeats it.
 *
 *     npm run simulate -- --seed 1 --schedules 200 --profile healthy
 */
import { spawnSync } from "node:child_process";
import { exitWithUsage, parseCommandLine } from "../support/node/command-line.ts";
import { generate } from "./generate.ts";
import { MUTATIONS } from "./mutations.ts";
import { PROFILES, type ProfileName } from "./profiles.ts";
import { describe, formatTime } from "./schedule.ts";
import { shrink } from "./shrink.ts";
import { type Outcome, simulate } from "./simulation.ts";

const USAGE = `Usage: npm run simulate -- [options]

Runs the Worker's code over models of the platform. Exits with 1 if a rule is broken.

Options:
  --profile <name>      the kind of schedules (default: all):
      ${Object.keys(PROFILES).join(", ").replace(" operator", "\n      operator")}
  --seed <number>       the first seed (default: 1)
  --schedules <number>  schedules of each profile; each uses the next seed (default: 1)
  --trace               prints the trace, if there is one schedule
  --count               runs all schedules, and prints how many break a rule
  --first               stops at the first schedule that breaks a rule; prints its seed
  --mutation <name>     runs with a deliberate fault; mutations.ts has the names
  --mutations           checks that its seed or schedule catches each mutation
  --help                prints this help`;
const FAILURES_SHOWN_MAX = 10;

const { values } = parseCommandLine(USAGE, {
  seed: { type: "string", default: "1" },
  schedules: { type: "string", default: "1" },
  profile: { type: "string" },
  trace: { type: "boolean", default: false },
  count: { type: "boolean", default: false },
  first: { type: "boolean", default: false },
  mutation: { type: "string" },
  mutations: { type: "boolean", default: false },
});
const [firstSeed, schedules] = [Number(values.seed), Number(values.schedules)];
if (!Number.isSafeInteger(firstSeed) || !(Number.isSafeInteger(schedules) && schedules > 0)) {
  exitWithUsage("--seed and --schedules must be integers, and --schedules at least 1.", USAGE);
}
if (values.mutation !== undefined && !(values.mutation in MUTATIONS)) {
  exitWithUsage(
    `There is no mutation "${values.mutation}". test/simulation/mutations.ts has the names.`,
    USAGE,
  );
}
if (values.mutations) process.exit(checkMutations() ? 0 : 1);
// The mutation must be applied when the code is loaded, so it needs another process.
if (values.mutation !== undefined && process.env.SIMULATION_MUTATION === undefined) {
  const flags = values.first ? [] : ["--count"];
  const { status } = spawnSync(process.execPath, [...process.execArgv, ...process.argv.slice(1), ...flags], {
    env: { ...process.env, SIMULATION_MUTATION: values.mutation },
    stdio: "inherit",
  });
  process.exit(status ?? 1);
}
const onlyProfile = values.profile ?? MUTATIONS[values.mutation ?? ""]?.profile;
if (onlyProfile !== undefined && !(onlyProfile in PROFILES)) {
  exitWithUsage(`There is no profile "${onlyProfile}".`, USAGE);
}
const profiles = (onlyProfile ? [onlyProfile] : Object.keys(PROFILES)) as ProfileName[];

let failures = 0;
for (const profile of profiles) {
  const cpuBefore = process.cpuUsage();
  const totals: Record<string, number> = {};
  const failing: { seed: number; text: string }[] = [];
  for (let seed = firstSeed; seed < firstSeed + schedules; seed++) {
    const { violations, counts } = await simulate(generate(profile, seed));
    for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
    if (violations.length === 0) continue;
    const text = `${[...new Set(violations.map(({ rule }) => rule))].join(", ")}: ${violations[0]?.text}`;
    failing.push({ seed, text });
    if (values.first) {
      console.log(`seed ${seed} fails: ${text}`);
      process.exit(1);
    }
    if (!values.count) {
      await printSmallestFailure(profile, seed);
      process.exit(1);
    }
  }
  failures += failing.length;
  const { user, system } = process.cpuUsage(cpuBefore);
  const cpuMs = (user + system) / 1000 / schedules;
  console.log(
    `${profile}: ${failing.length} of ${schedules} schedules fail. ${describeTotals(totals)}; ` +
      `${cpuMs.toFixed(1)} ms of CPU per schedule`,
  );
  for (const { seed, text } of failing.slice(0, FAILURES_SHOWN_MAX)) console.log(`  seed ${seed}: ${text}`);
  if (values.trace && schedules === 1) {
    const outcome = await simulate(generate(profile, firstSeed), { keepTrace: true });
    printTrace(outcome, outcome.lines);
  }
}
process.exit(failures > 0 ? 1 : 0);

function describeTotals(totals: Record<string, number>): string {
  const { responses, matches, due, observations, pushes, succeeded, missedFile, healed, unreachable } =
    totals;
  const { passedThrough, pushAgain } = totals;
  const text =
    `${responses} responses, ${matches} matches, ${due} due matches, ${observations} observations, ` +
    `${passedThrough} requests passed through, ${pushAgain} to be pushed again`;
  if (!pushes) return text;
  return (
    `${text}, ${pushes} pushes (${succeeded} succeed, ${missedFile} match a lost file, ${healed} retries heal, ` +
    `${unreachable} without their session object)`
  );
}

/** @returns whether all are caught */
function checkMutations(): boolean {
  const missed = Object.entries(MUTATIONS).filter(([mutation, { seed, named }]) => {
    return named === undefined ? !isCaughtBySeed(seed, mutation) : !isCaughtByTest(named, mutation);
  });
  for (const [mutation, { seed, named }] of missed) {
    console.log(`not caught by ${named ? `"${named}"` : `seed ${seed}`}: ${mutation}`);
  }
  console.log(
    `${Object.keys(MUTATIONS).length - missed.length} of ${Object.keys(MUTATIONS).length} mutations caught`,
  );
  return missed.length === 0;
}

function isCaughtBySeed(seed: number | undefined, mutation: string): boolean {
  const flags = ["--first", "--mutation", mutation, "--seed", String(seed)];
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [...process.execArgv, process.argv[1] ?? "", ...flags],
    { encoding: "utf8" },
  );
  console.log(`${stdout}${stderr}`.trim());
  return /^seed \d+ fails: /m.test(stdout);
}

/** Whether a test whose title starts with `named` fails. */
function isCaughtByTest(named: string, mutation: string): boolean {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["node_modules/vitest/vitest.mjs", "run", "test/simulation/named", "--testNamePattern", named],
    { encoding: "utf8", env: { ...process.env, NO_COLOR: "1", SIMULATION_MUTATION: mutation } },
  );
  const failure = `${stdout}\n${stderr}`
    .split("\n")
    .find((line) => line.includes("FAIL") && line.includes(named));
  if (failure) console.log(failure.trim());
  return failure !== undefined;
}

function printTrace({ start }: Outcome, lines: Outcome["lines"]): void {
  for (const { time, text } of lines) console.log(`${formatTime(time - start)}  ${text}`);
}

async function printSmallestFailure(profile: ProfileName, seed: number): Promise<void> {
  const schedule = generate(profile, seed);
  const smallest = await shrink(schedule);
  const outcome = await simulate(smallest, { keepTrace: true });
  const { lines, violations } = outcome;
  printTrace(outcome, lines.slice(0, lines.findIndex(({ text }) => text.startsWith("VIOLATION")) + 1));
  console.log(
    `\n${profile}, seed ${seed}: ${smallest.operations.length} of ${schedule.operations.length} operations still break a rule`,
  );
  console.log(JSON.stringify(smallest.settings));
  for (const operation of smallest.operations) console.log(`  ${describe(operation)}`);
  for (const { rule, at, text } of violations) console.log(`  ${formatTime(at)} ${rule}: ${text}`);
  console.log(`\nTo repeat it: npm run simulate -- --seed ${seed} --profile ${profile}`);
}
