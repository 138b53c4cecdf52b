declare namespace Cloudflare {
  interface Env {
    RESOURCE_CACHE: KVNamespace;
    UAA_URL: string;
  }
  interface GlobalProps {
    mainModule: typeof import("../src/index.ts");
  }
}
