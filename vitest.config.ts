import { availableParallelism } from "node:os";
import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { exportJWK, generateKeyPair } from "jose";
import { defineConfig } from "vitest/config";

// The module that the Worker imports, if its source has changed since.
await import("./src/bytes/build.js");

// Of the test that both ways to read a request mean the same.
const { ONE_MEANING_CASES = "20000" } = process.env;

// The tests' UAA: its keys are made here, served as the outside world, and handed to the tests for signing.
const UAA_URL = "https://uaa.example.com";
const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
const publicJwk = { ...(await exportJWK(publicKey)), kid: "key-1", alg: "RS256", use: "sig", value: "PEM" };
const privateJwk = { ...(await exportJWK(privateKey)), kid: "key-1", alg: "RS256" };

export default defineConfig({
  test: {
    silent: "passed-only",
    // Most files wait for processes of their own: one at a time, the default on two cores, takes twice as long.
    maxWorkers: Math.max(2, availableParallelism() - 1),
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
                ONE_MEANING_CASES,
              },
              ratelimits: { TEST_RATE_LIMITER: { namespace_id: "1", simple: { limit: 2, period: 60 } } },
              r2Buckets: { POOL_BUCKET: "resource-pool" },
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
          exclude: ["test/cli/**", "test/foundry/**", "test/e2e/**"],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "cli",
          include: ["test/{cli,foundry,e2e}/**/*.test.ts"],
          testTimeout: 60_000,
        },
      },
    ],
  },
});
