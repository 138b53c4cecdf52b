import { existsSync, statfsSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { exportJWK, generateKeyPair } from "jose";
import { defineConfig } from "vitest/config";
import { mutatedSource } from "./test/simulation/mutated-source.ts";
import type { Exchange } from "./test/support/exchange.ts";
import { runSql } from "./test/support/node/analytics-engine.ts";
import { DocumentedApi } from "./test/support/node/documented-api.ts";
import type { SqlRequest } from "./test/support/sql-request.ts";
import { wasmModule } from "./test/wasm-module.ts";

// Compile the WebAssembly module if its source has changed.
await import("./src/bytes/build.js");

// For the test that the fast path and the slow path agree.
const { FAST_PATH_CASES = "10000" } = process.env;
// `npm run fuzz` sets these.
const { FUZZ_SEED = "1", FUZZ_CASES = "2000" } = process.env;

// The UAA of the tests: its public key is served by `outboundService`, and the tests sign tokens with its private key.
const UAA_URL = "https://uaa.example.com";
const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
const publicJwk = { ...(await exportJWK(publicKey)), kid: "key-1", alg: "RS256", use: "sig", value: "PEM" };
const privateJwk = { ...(await exportJWK(privateKey)), kid: "key-1", alg: "RS256" };

// Validators are compiled at run time, which workerd forbids. Tests in workerd call this over a service binding.
const documentedApi = new DocumentedApi();

const SIMULATED_PLATFORM = fileURLToPath(
  new URL("test/simulation/platform/cloudflare-workers.ts", import.meta.url),
);

/** A directory in memory if it has 2 GiB free. Most time goes to thousands of small files and databases, which wait for the disk. */
function findTemporaryDirectory(): string {
  const [memory, bytes] = ["/dev/shm", 2 ** 31];
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize >= bytes ? memory : tmpdir();
}
// Applies to the storage of the runtimes in this process, and to child processes.
process.env.TMPDIR = findTemporaryDirectory();

// Do not cache mutated code for later runs.
if (process.env.SIMULATION_MUTATION !== undefined) process.env.VITEST_FS_MODULE_CACHE = "false";

export default defineConfig({
  test: {
    silent: "passed-only",
    // Most test files wait for child processes. The default on two cores, one file at a time, takes three times as long.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    projects: [
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                UAA_URL,
                TEST_UAA_KEY: privateJwk,
                MINIMUM_SIZE: "0",
                KEYS_PER_DAY: "10",
                FAST_PATH_CASES,
                FUZZ_SEED,
                FUZZ_CASES,
              },
              ratelimits: { TEST_RATE_LIMITER: { namespace_id: "1", simple: { limit: 2, period: 60 } } },
              r2Buckets: { POOL_BUCKET: "resource-pool" },
              serviceBindings: {
                DOCUMENTED_API: async (request: { json(): Promise<unknown> }) =>
                  Response.json(documentedApi.differences((await request.json()) as Exchange)),
                ANALYTICS_ENGINE: async (request: { json(): Promise<unknown> }) => {
                  try {
                    return Response.json(runSql((await request.json()) as SqlRequest));
                  } catch (error) {
                    return new Response(String(error), { status: 422 });
                  }
                },
              },
              outboundService: ({ url }: { url: string }) =>
                url === `${UAA_URL}/token_keys`
                  ? Response.json({ keys: [publicJwk] })
                  : new Response("no such server", { status: 502 }),
            },
          }),
        ],
        test: {
          name: "worker",
          include: ["test/**/*.test.ts"],
          exclude: [
            "test/{cli,deploy,documents,e2e,foundation,load-balancer,openapi,real-cf,release,simulation,source}/**",
          ],
          setupFiles: ["test/support/reset-storage.ts"],
          isolate: false,
          testTimeout: 30_000,
        },
      },
      {
        // The simulation runs the Worker's code in Node.js with a simulated platform.
        resolve: { alias: { "cloudflare:workers": SIMULATED_PLATFORM } },
        plugins: [
          {
            name: "code under test",
            enforce: "pre",
            load: (id) => (id.endsWith(".wasm") ? wasmModule(id) : mutatedSource(id)),
          },
        ],
        test: {
          name: "cli",
          include: [
            "test/{cli,deploy,documents,e2e,foundation,load-balancer,openapi,real-cf,release,simulation,source}/**/*.test.ts",
          ],
          globalSetup: ["test/cli/bundle.ts", "test/e2e/bundle.ts"],
          setupFiles: ["test/cli/clean-up.ts"],
          // Starting a process and importing the common modules takes a second of CPU, so files share processes.
          isolate: false,
          testTimeout: 60_000,
        },
      },
    ],
  },
});
