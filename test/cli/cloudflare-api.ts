import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { serve } from "./endpoint.ts";

export const ACCOUNT = "0123456789abcdef0123456789abcdef";
export const NAMESPACE = "fedcba9876543210fedcba9876543210";
const TOKEN = "a-cloudflare-token";

export interface StoredKey {
  key: string;
  value: string;
  /** Whether the value is bytes. */
  base64?: boolean;
  expiration_ttl?: number;
}

export interface Call {
  /** `list`, `get`, `value`, `put` or `delete`. */
  operation: string;
  /** Keys that came with it, or were sent back. */
  keys: number;
  /** Milliseconds, since some moment. */
  at: number;
}

/** Does something else than the operation; returns false to do that too. */
type Fault = (response: ServerResponse, body: unknown) => boolean | undefined | Promise<boolean | undefined>;

/**
 * Cloudflare's REST API for KV, as it is documented, on loopback: a list has pages of 1,000 keys at most, and some
 * of them are empty.
 */
export async function cloudflareApi(initial: readonly string[] = []) {
  const keys = new Map<string, StoredKey>(initial.map((key) => [key, { key, value: "1" }]));
  const calls: Call[] = [];
  /** For the next calls of an operation, one each. */
  const faults: Record<string, Fault[]> = {};

  const base = await serve(async (request, response) => {
    if (request.headers.authorization !== `Bearer ${TOKEN}`)
      return fail(response, 403, 10000, "Authentication error");
    const url = new URL(request.url ?? "", "http://localhost");
    const root = `/accounts/${ACCOUNT}/storage/kv/namespaces/${NAMESPACE}`;
    const operations: Record<string, string> = {
      [`GET ${root}/keys`]: "list",
      [`POST ${root}/bulk/get`]: "get",
      [`PUT ${root}/bulk`]: "put",
      [`POST ${root}/bulk/delete`]: "delete",
    };
    const values = `${root}/values/`;
    if (request.method === "GET" && url.pathname.startsWith(values)) {
      const stored = keys.get(decodeURIComponent(url.pathname.slice(values.length)));
      calls.push({ operation: "value", keys: 1, at: performance.now() });
      if (!stored) return fail(response, 404, 10009, "key not found");
      response.writeHead(200, { "Content-Type": "application/octet-stream" });
      response.end(Buffer.from(stored.value, stored.base64 ? "base64" : "utf8"));
      return;
    }
    const operation = operations[`${request.method} ${url.pathname}`];
    if (operation === undefined) return fail(response, 404, 10013, "namespace not found");

    const body = await bodyOf(request);
    const call = { operation, keys: 0, at: performance.now() };
    calls.push(call);
    const fault = faults[operation]?.shift();
    if (fault && (await fault(response, body)) !== false) return;

    if (operation === "list") {
      const prefix = url.searchParams.get("prefix") ?? "";
      const limit = Number(url.searchParams.get("limit") ?? 1000);
      const [after = "", wasEmpty] = (url.searchParams.get("cursor") ?? "").split("|");
      const names = [...keys.keys()].filter((name) => name.startsWith(prefix) && name > after).sort();
      // After the first page comes an empty one that is not the last.
      const page = after !== "" && wasEmpty === undefined ? [] : names.slice(0, limit);
      const cursor =
        page.length === names.length ? "" : `${page.at(-1) ?? after}${page.length === 0 ? "|empty" : ""}`;
      const isFirst = after === "";
      call.keys = page.length;
      return succeed(
        response,
        page.map((name) => ({ name })),
        {
          result_info: {
            count: page.length,
            cursor: isFirst || cursor === "" || page.length === 0 ? cursor : `${cursor}|on`,
          },
        },
      );
    }
    if (operation === "get") {
      const { keys: asked } = body as { keys: string[] };
      call.keys = asked.length;
      if (asked.length > 100) return fail(response, 400, 10029, "too many keys");
      return succeed(response, {
        values: Object.fromEntries(asked.map((key) => [key, keys.get(key)?.value ?? null])),
      });
    }
    const entries = body as unknown[];
    call.keys = entries.length;
    if (entries.length > 10_000) return fail(response, 400, 10030, "too many keys");
    if (operation === "put") for (const entry of entries as StoredKey[]) keys.set(entry.key, entry);
    else for (const key of entries as string[]) keys.delete(key);
    return succeed(response, { successful_key_count: entries.length, unsuccessful_keys: [] });
  });

  const env = {
    CLOUDFLARE_BASE_URL: base,
    CLOUDFLARE_ACCOUNT_ID: ACCOUNT,
    CLOUDFLARE_API_TOKEN: TOKEN,
  };
  return { keys, calls, faults, env };
}

export function succeed(response: ServerResponse, result: unknown, more: object = {}): void {
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ success: true, errors: [], messages: [], result, ...more }));
}

export function fail(
  response: ServerResponse,
  status: number,
  code: number,
  message: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify({ success: false, errors: [{ code, message }], messages: [], result: null }));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const body = await text(request);
  return body === "" ? undefined : JSON.parse(body);
}
