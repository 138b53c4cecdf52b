declare namespace Cloudflare {
  interface Env {
    RESOURCE_CACHE: KVNamespace;
    UAA_URL: string;
    POOL_BUCKET: R2Bucket;
    CATALOG: DurableObjectNamespace<import("../src/catalog/catalog.ts").Catalog>;
    PUSH_SESSIONS: DurableObjectNamespace<import("../src/push-sessions/push-sessions.ts").PushSessions>;
    TEST_UAA_KEY: import("jose").JWK;
    FAST_PATH_CASES: string;
    FUZZ_SEED: string;
    FUZZ_CASES: string;
    DOCUMENTED_API: Fetcher;
    TEST_RATE_LIMITER: RateLimit;
  }
  interface GlobalProps {
    mainModule: typeof import("../src/index.ts");
  }
}

/** A file's text, as Vite imports it. */
declare module "*?raw" {
  const text: string;
  export default text;
}
