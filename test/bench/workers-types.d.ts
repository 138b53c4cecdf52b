/** Types of workerd that the Worker's modules name. The benchmark does not use them in Node.js. */
type KVNamespace = import("@cloudflare/workers-types").KVNamespace;
type DurableObjectNamespace = import("@cloudflare/workers-types").DurableObjectNamespace;
type R2Bucket = import("@cloudflare/workers-types").R2Bucket;
type RateLimit = import("@cloudflare/workers-types").RateLimit;
type AnalyticsEngineDataset = import("@cloudflare/workers-types").AnalyticsEngineDataset;
declare namespace Cloudflare {
  interface Env {
    RESOURCE_CACHE: KVNamespace;
    // biome-ignore lint/suspicious/noExplicitAny: their classes import modules that only workerd has
    [object: string]: any;
  }
}
declare var scheduler: { wait(ms: number): Promise<void> };
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: object);
    readonly exports: Record<string, unknown>;
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
  interface Global {
    value: number;
  }
}
