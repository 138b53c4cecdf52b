/**
 * Generates requests, each from its own seed, and compares the Worker's responses with those of a second implementation of the
 * contract. Requests go to the Worker's fetch handler, or over HTTP.
 *
 *     npm run fuzz -- --seed 1 --cases 100000 --http
 */
import { spawnSync } from "node:child_process";
import { exitWithUsage, parseCommandLine } from "../../support/node/command-line.ts";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { fuzzOverHttp } from "./over-http.ts";

const USAGE = `Usage: npm run fuzz -- [options]

Options:
  --seed <number>   seed of the first request (default: 1)
  --cases <number>  number of requests (default: 10000)
  --http            send them over HTTP to a Worker in its own process
  --help            show this help`;

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
