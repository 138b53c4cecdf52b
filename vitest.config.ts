import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: { UAA_URL: "https://uaa.example.com" },
              ratelimits: { RATE_LIMITER: { namespace_id: "1", simple: { limit: 2, period: 60 } } },
              analyticsEngineDatasets: { METRICS: { dataset: "resource_matches" } },
            },
          }),
        ],
        test: {
          name: "worker",
          include: ["test/**/*.test.ts"],
          exclude: ["test/cli/**", "test/foundry/**"],
        },
      },
      {
        test: {
          name: "cli",
          include: ["test/cli/**/*.test.ts", "test/foundry/**/*.test.ts"],
          testTimeout: 60_000,
        },
      },
    ],
  },
});
