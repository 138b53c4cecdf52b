declare namespace Cloudflare {
  interface Env {
    POOL_BUCKET: R2Bucket;
    TEST_UAA_KEY: import("jose").JWK;
    FAST_PATH_CASES: string;
    FUZZ_SEED: string;
    FUZZ_CASES: string;
    DOCUMENTED_API: Fetcher;
    ANALYTICS_ENGINE: Fetcher;
    TEST_RATE_LIMITER: RateLimit;
  }
}

/** A file's text, as Vite imports it. */
declare module "*?raw" {
  const text: string;
  export default text;
}

/** Vite's function. */
interface ImportMeta {
  glob(pattern: string, options: { eager: true; import: "default" }): Record<string, unknown>;
}
