/**
 * Sends requests of all kinds, each made from a seed of its own, and compares what the Worker answers with what an independent
 * reading of the contract says: through the Worker's fetch, or over HTTP.
 *
 *     npm run fuzz -- --seed 1 --cases 100000 --http
 */
import { spawnSync } from "node:child_process";
import { exitWithUsage, parseCommandLine } from "../../support/node/command-line.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { fuzzOverHttp } from "./over-http.ts";

const USAGE = `Usage: npm run fuzz -- [options]

Options:
  --seed <number>   of the first case (default: 1)
  --cases <number>  how many (default: 10000)
  --http            over HTTP, to a Worker in a process of its own
  --help            shows this`;

const { values } = parseCommandLine(USAGE, {
  seed: { type: "string", default: "1" },
  cases: { type: "string", default: "10000" },
  http: { type: "boolean", default: false },
});
const [seed, cases] = [Number(values.seed), Number(values.cases)];
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(cases) || cases < 1) {
  exitWithUsage("--seed and --cases must be whole numbers", USAGE);
}
if (values.http) process.exit(await fuzzOverHttp(seed, cases));

const { status } = spawnSync(
  "vitest",
  ["run", "--project", "worker", "--silent=false", "test/fuzz/fuzz.test.ts"],
  {
    cwd: PROJECT_ROOT,
    stdio: "inherit",
    env: { ...process.env, FUZZ_SEED: String(seed), FUZZ_CASES: String(cases) },
  },
);
process.exit(status ?? 1);
