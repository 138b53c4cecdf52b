import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import worker from "../../src/index.ts";
import type { ResourceKey } from "../../src/resources/resource-key.ts";
import { putManifestIfMissing } from "./manifest.ts";
import { signToken } from "./tokens.ts";

export const ENDPOINT = "https://api.example.com/v3/resource_matches";

/** A resource in the form that cf CLI sends. */
export interface SentResource {
  checksum: { value: string };
  size_in_bytes: number;
  path?: string | null;
  mode?: string | null;
}

/** The resource number `index` of an endless series of distinct resources. */
export function resource(index: number, changes: Partial<SentResource> = {}): SentResource {
  const value = index.toString(16).padStart(8, "0").padStart(40, "a");
  return { checksum: { value }, size_in_bytes: index + 1, path: `src/${index}.js`, mode: "644", ...changes };
}

/** Writes the keys of resources to the local KV, and a manifest if there is none. */
export async function fillCache(...resources: SentResource[]): Promise<void> {
  const key = ({ checksum, size_in_bytes }: SentResource) =>
    `${checksum.value.toLowerCase()}:${size_in_bytes}`;
  await Promise.all(resources.map((each) => env.RESOURCE_CACHE.put(key(each), "1")));
  // The isolate may have cached that there is no manifest.
  if (await putManifestIfMissing(env.RESOURCE_CACHE)) replaceIsolate();
}

interface SendOptions {
  token?: string | null;
  headers?: Record<string, string>;
  method?: string;
  url?: string;
  /** Called with the response, before the work after it has ended. */
  onResponse?: () => void;
}

async function createRequest(
  body: BodyInit | object | undefined,
  { token, headers, method, url }: SendOptions,
) {
  const authorization = token === null ? {} : { Authorization: `Bearer ${token ?? (await signToken())}` };
  const isRaw = typeof body === "string" || body instanceof ReadableStream || body instanceof Uint8Array;
  return new Request(url ?? ENDPOINT, {
    method: method ?? "POST",
    headers: { ...authorization, ...headers },
    body: isRaw || body === undefined ? (body ?? null) : JSON.stringify(body),
  });
}

/** The env object of the current isolate: the Worker keeps its state by this object. */
let isolateEnv = { ...env };

/** Replaces the isolate of `send`: the Worker loses its state. */
export function replaceIsolate(): void {
  isolateEnv = { ...env };
}

/**
 * Sends a request to the Worker with the bindings of wrangler.toml, and waits for the work after the response. Default: a POST of `body`
 * to the endpoint, by a new user.
 */
export async function send(body?: BodyInit | object, options: SendOptions = {}): Promise<Response> {
  return sendWithEnv(isolateEnv, body, options);
}

/** Sends a request to a new isolate with other bindings and variables. undefined removes one. */
export async function sendWith(
  bindings: Record<string, unknown>,
  body?: BodyInit | object,
  options: SendOptions = {},
): Promise<Response> {
  return sendWithEnv({ ...env, ...bindings }, body, options);
}

/** Sends a request to an isolate with this env object. Requests with the same object share the state of the isolate. */
export async function sendWithEnv(
  bindings: object,
  body?: BodyInit | object,
  options: SendOptions = {},
): Promise<Response> {
  const ctx = createExecutionContext();
  const response = await worker.fetch(
    (await createRequest(body, options)) as Parameters<typeof worker.fetch>[0],
    bindings,
    ctx,
  );
  options.onResponse?.();
  await waitOnExecutionContext(ctx);
  return response;
}

/** The paths of the matched resources. */
export async function matchedPaths(response: Response): Promise<(string | undefined)[]> {
  const { resources } = await response.json<{ resources: SentResource[] }>();
  return resources.map(({ path }) => path ?? undefined);
}

/** The key of `resource(index)`. */
export const keyOf = (index: number): ResourceKey => `${resource(index).checksum.value}:${index + 1}`;
