import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import worker from "../../src/index.ts";
import type { ResourceKey } from "../../src/resources/resource-key.ts";
import { putManifestIfMissing } from "./manifest.ts";
import { signToken } from "./tokens.ts";

export const ENDPOINT = "https://api.example.com/v3/resource_matches";

/** A resource as cf CLI sends it; by default one of which nobody has heard. */
export interface SentResource {
  checksum: { value: string };
  size_in_bytes: number;
  path?: string | null;
  mode?: string | null;
}

/** The `index`th of a row of resources without end, all distinct. */
export function resource(index: number, changes: Partial<SentResource> = {}): SentResource {
  const value = index.toString(16).padStart(8, "0").padStart(40, "a");
  return { checksum: { value }, size_in_bytes: index + 1, path: `src/${index}.js`, mode: "644", ...changes };
}

/** Puts keys into the real local cache, and a manifest if there is none. Without resources: the manifest alone. */
export async function fillCache(...resources: SentResource[]): Promise<void> {
  const key = ({ checksum, size_in_bytes }: SentResource) =>
    `${checksum.value.toLowerCase()}:${size_in_bytes}`;
  await Promise.all(resources.map((present) => env.RESOURCE_CACHE.put(key(present), "1")));
  // An isolate that has read that there is no manifest does not read it again for a while.
  if (await putManifestIfMissing(env.RESOURCE_CACHE)) replaceIsolate();
}

interface SendOptions {
  token?: string | null;
  headers?: Record<string, string>;
  method?: string;
  url?: string;
}

async function toRequest(body: BodyInit | object | undefined, { token, headers, method, url }: SendOptions) {
  const authorization = token === null ? {} : { Authorization: `Bearer ${token ?? (await signToken())}` };
  const isRaw = typeof body === "string" || body instanceof ReadableStream || body instanceof Uint8Array;
  return new Request(url ?? ENDPOINT, {
    method: method ?? "POST",
    headers: { ...authorization, ...headers },
    body: isRaw || body === undefined ? (body ?? null) : JSON.stringify(body),
  });
}

/** The env object of an isolate that has served the tests of one file: what the Worker remembers goes with it. */
let deployed = { ...env };

/** From now on another isolate answers. */
export function replaceIsolate(): void {
  deployed = { ...env };
}

/** Asks the Worker with wrangler.toml's bindings. */
export async function send(body?: BodyInit | object, sent: SendOptions = {}): Promise<Response> {
  return sendWithEnv(deployed, body, sent);
}

/** Asks a Worker that has other bindings and variables; undefined takes one away. */
export async function sendWith(
  bindings: Record<string, unknown>,
  body?: BodyInit | object,
  sent: SendOptions = {},
): Promise<Response> {
  return sendWithEnv({ ...env, ...bindings }, body, sent);
}

/** As `askWith`, with an env object that several requests share, as they do within an isolate. */
export async function sendWithEnv(
  bindings: object,
  body?: BodyInit | object,
  sent: SendOptions = {},
): Promise<Response> {
  const ctx = createExecutionContext();
  const response = await worker.fetch(
    (await toRequest(body, sent)) as Parameters<typeof worker.fetch>[0],
    bindings,
    ctx,
  );
  await waitOnExecutionContext(ctx);
  return response;
}

/** Those of the answer, by path. */
export async function matchedPaths(response: Response): Promise<(string | undefined)[]> {
  const { resources } = await response.json<{ resources: SentResource[] }>();
  return resources.map(({ path }) => path ?? undefined);
}

/** The key of the `index`th resource of the row. */
export const keyOf = (index: number): ResourceKey => `${resource(index).checksum.value}:${index + 1}`;
