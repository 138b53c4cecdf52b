/**
 * Runs schedules over the simulated platform, each from its seed; of a failing one it prints the smallest part that
 * still fails, its trace, and the command that repeats it.
 *
 *     npm run simulate -- --seed 1 --schedules 200 --profile well
 */
import { spawnSync } from "node:child_process";
import { exitWithUsage, parseCommandLine } from "../support/node/command-line.ts";
import { generate } from "./generate.ts";
import { MUTATIONS } from "./mutations.ts";
import { PROFILES, type ProfileName } from "./profiles.ts";
import { clock, describe } from "./schedule.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulation.ts";

const USAGE = `Usage: npm run simulate -- [options]

Options:
  --seed <number>       of the first schedule (default: 1)
  --schedules <number>  how many, each of the next seed (default: 1)
  --profile <name>      one alone; there are
      ${Object.keys(PROFILES).join(", ")}
  --trace               shows what happens in the only schedule
  --count               goes on after a failure, and says how many there were
  --first               ends with the first failure, and only says of which seed
  --mutation <name>     with a mistake in the code, one of mutations.ts
  --mutations           whether every mutation is caught, by its seed or a named schedule
  --help                shows this`;

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
const [first, schedules] = [Number(values.seed), Number(values.schedules)];
if (!Number.isSafeInteger(first) || !(Number.isSafeInteger(schedules) && schedules > 0)) {
  exitWithUsage("--seed and --schedules must be whole numbers", USAGE);
}
if (values.mutation !== undefined && !(values.mutation in MUTATIONS)) {
  exitWithUsage(`There is no mutation ${values.mutation}.`, USAGE);
}
if (values.mutations) process.exit(checkMutations() ? 0 : 1);
// The loader changes the code before it is loaded: in a process of its own.
if (values.mutation !== undefined && process.env.SIMULATION_MUTATION === undefined) {
  const flags = values.first ? [] : ["--count"];
  const { status } = spawnSync(process.execPath, [...process.execArgv, ...process.argv.slice(1), ...flags], {
    env: { ...process.env, SIMULATION_MUTATION: values.mutation },
    stdio: "inherit",
  });
  process.exit(status ?? 1);
}
const profile = values.profile ?? MUTATIONS[values.mutation ?? ""]?.profile;
const profiles = (profile ? [profile] : Object.keys(PROFILES)) as ProfileName[];
const unknown = profiles.filter((name) => !(name in PROFILES));
if (unknown.length > 0) exitWithUsage(`There is no profile ${unknown.join(", ")}.`, USAGE);

let failed = 0;
for (const profile of profiles) {
  const begun = process.cpuUsage();
  const total: Record<string, number> = {};
  const failing: { seed: number; rules: string }[] = [];
  for (let seed = first; seed < first + schedules; seed++) {
    const { violations, counts } = await simulate(generate(profile, seed));
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
    if (violations.length === 0) continue;
    const rules = `${[...new Set(violations.map(({ rule }) => rule))].join(" + ")}: ${violations[0]?.text}`;
    failing.push({ seed, rules });
    if (values.first) {
      console.log(`seed ${seed} fails: ${rules}`);
      process.exit(1);
    }
    if (!values.count) {
      await explain(profile, seed);
      process.exit(1);
    }
  }
  failed += failing.length;
  const { user, system } = process.cpuUsage(begun);
  const ms = ((user + system) / 1000 / schedules).toFixed(1);
  const { answers, matches, due, observations, pushes, well, gone, healed, unreachable } = total;
  const ofPushes = pushes
    ? `${pushes} pushes, of which ${well} end well, ${gone} lack what is gone, ${healed} heal and ${unreachable} do not reach their session, `
    : "";
  console.log(
    `${profile}: ${failing.length} of ${schedules} schedules fail; ${answers} answers, ${matches} matches, ` +
      `${due} due, ${observations} observations, ${ofPushes}${ms} ms of CPU a schedule`,
  );
  for (const { seed, rules } of failing.slice(0, 10)) console.log(`  seed ${seed}: ${rules}`);
  if (values.trace && schedules === 1) await print(profile, first);
}
process.exit(failed > 0 ? 1 : 0);

/** @returns whether all are caught */
function checkMutations(): boolean {
  const missed = Object.entries(MUTATIONS).filter(([mutation, { seed, named }]) => {
    if (named !== undefined) return !isCaughtBy(named, mutation);
    const flags = ["--first", "--mutation", mutation, "--seed", String(seed)];
    const command = [...process.execArgv, process.argv[1] ?? "", ...flags];
    return spawnSync(process.execPath, command, { stdio: "inherit" }).status === 0;
  });
  for (const [mutation, { seed, named }] of missed) {
    console.log(`not caught by ${named ?? `seed ${seed}`}: ${mutation}`);
  }
  return missed.length === 0;
}

/** Whether a schedule with a name, which is a test, finds something wrong. */
function isCaughtBy(named: string, mutation: string): boolean {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["node_modules/vitest/vitest.mjs", "run", "test/simulation/named", "--testNamePattern", named],
    { encoding: "utf8", env: { ...process.env, NO_COLOR: "1", SIMULATION_MUTATION: mutation } },
  );
  const failed = `${stdout}\n${stderr}`
    .split("\n")
    .find((line) => line.includes("FAIL") && line.includes(named));
  if (failed) console.log(failed.trim());
  return failed !== undefined;
}

async function print(profile: ProfileName, seed: number): Promise<void> {
  const { lines, start } = await simulate(generate(profile, seed), { keepsTrace: true });
  for (const { time, text } of lines) console.log(`${clock(time - start)}  ${text}`);
}

async function explain(profile: ProfileName, seed: number): Promise<void> {
  const whole = generate(profile, seed);
  const small = await shrink(whole);
  const { violations, lines, start } = await simulate(small, { keepsTrace: true });
  const last = lines.findIndex(({ text }) => text.startsWith("VIOLATION"));
  for (const { time, text } of lines.slice(0, last + 1)) console.log(`${clock(time - start)}  ${text}`);
  console.log(
    `\n${profile}, seed ${seed}: ${small.operations.length} of ${whole.operations.length} operations still fail`,
  );
  console.log(JSON.stringify(small.settings));
  for (const operation of small.operations) console.log(`  ${describe(operation)}`);
  for (const { rule, at, text } of violations) console.log(`  ${clock(at)} ${rule}: ${text}`);
  console.log(`\nnpm run simulate -- --seed ${seed} --profile ${profile}`);
}
