import { setTimeout as sleep } from "node:timers/promises";
import { APIError } from "cloudflare/core/error";
import { Namespaces } from "cloudflare/resources/kv/namespaces";
import { createClient } from "cloudflare/tree-shakable";
import { chunks } from "../../chunks.ts";
import { HELD } from "../../resource-pool/resource-key.ts";
import { reasonOf } from "../exit.ts";
import { note } from "../output.ts";
import { HeldKeys } from "./held-keys.ts";
import type { Pool, PoolEntry } from "./pool.ts";

const KEYS_PER_WRITE = 10_000;
const KEYS_PER_PAGE = 1_000;

/**
 * The client's own attempts after a 429, a 5xx or a cut connection: it waits as long as `Retry-After` says, up to
 * the 5 minutes that Cloudflare locks out who asks too often, and otherwise 0.5 s, 1 s, … 8 s.
 */
const CLIENT_RETRIES = 8;

/** Attempts at what the client gives up at once: an answer cut off in the middle, keys that were not written. */
const ATTEMPTS = 6;
const FIRST_PAUSE_MS = 250;

interface RemotePoolOptions {
  accountId: string;
  apiToken: string;
  namespaceId: string;
  keyPrefix: string;
}

/** The KV namespace of a deployed Worker, through Cloudflare's REST API; CLOUDFLARE_BASE_URL is another API's. */
export function openRemotePool({ accountId, apiToken, namespaceId, keyPrefix }: RemotePoolOptions): Pool {
  const client = createClient({
    resources: [Namespaces],
    apiToken,
    // Otherwise taken from the environment, and sent along.
    apiKey: null,
    apiEmail: null,
    userServiceKey: null,
    maxRetries: CLIENT_RETRIES,
    fetch: fetchTellingTroubles,
  });
  const { namespaces } = client.kv;

  async function* list(prefix: string): AsyncGenerator<string[]> {
    let cursor: string | undefined;
    do {
      const at = cursor === undefined ? {} : { cursor };
      // Not the client's own paging: it takes a page without keys for the last, which KV does not promise.
      const page = await retried(() =>
        namespaces.keys.list(namespaceId, { account_id: accountId, prefix, limit: KEYS_PER_PAGE, ...at }),
      );
      yield page.result.map(({ name }) => name);
      cursor = page.result_info?.cursor || undefined;
    } while (cursor !== undefined);
  }

  async function read(keys: readonly string[]): Promise<string[]> {
    const answer = await retried(() =>
      namespaces.bulkGet(namespaceId, { account_id: accountId, keys: [...keys], type: "text" }),
    );
    const values = (answer?.values ?? {}) as Record<string, unknown>;
    return keys.filter((key) => values[key] === HELD);
  }

  const heldKeys = new HeldKeys(list(keyPrefix), read);

  return {
    keyPrefix,
    keysPerBatch: KEYS_PER_WRITE,
    held: (keys) => heldKeys.among(keys),
    list,
    get: (key) =>
      retried(async () => {
        try {
          const response = await namespaces.values.get(key, {
            account_id: accountId,
            namespace_id: namespaceId,
          });
          return await response.arrayBuffer();
        } catch (error) {
          if (error instanceof APIError && error.status === 404) return null;
          throw error;
        }
      }),
    async put(entries) {
      for (const some of chunks(entries, KEYS_PER_WRITE)) {
        const byKey = new Map(some.map((entry) => [entry.key, entry]));
        await untilAllDone([...byKey.keys()], (keys) =>
          namespaces.bulkUpdate(namespaceId, {
            account_id: accountId,
            body: keys.flatMap((key) => byKey.get(key) ?? []).map(toBody),
          }),
        );
      }
    },
    async delete(keys) {
      for (const some of chunks(keys, KEYS_PER_WRITE)) {
        await untilAllDone(some, (left) =>
          namespaces.bulkDelete(namespaceId, { account_id: accountId, body: [...left] }),
        );
      }
    },
    close: async () => {},
  };
}

/** A pair as a bulk write takes it, where bytes can only come as base64. */
function toBody({ key, value, expirationTtl }: PoolEntry) {
  return {
    key,
    ...(typeof value === "string"
      ? { value }
      : { value: Buffer.from(value).toString("base64"), base64: true }),
    ...(expirationTtl === undefined ? {} : { expiration_ttl: expirationTtl }),
  };
}

/** The client tries again without a word, and a wait that the server asks for can take minutes. */
const fetchTellingTroubles: typeof fetch = async (...request) => {
  try {
    const response = await fetch(...request);
    const wait = response.headers.get("Retry-After");
    if (response.status === 429 || response.status >= 500) {
      note(
        `Cloudflare's API answered ${response.status}${wait === null ? "." : ` and asks to wait ${wait} s.`}`,
      );
    }
    return response;
  } catch (error) {
    note(`Cloudflare's API can't be reached: ${reasonOf(error)}`);
    throw error;
  }
};

/** A bulk operation may do only some of its keys, and names the others. */
async function untilAllDone(
  keys: readonly string[],
  operation: (keys: readonly string[]) => Promise<{ unsuccessful_keys?: string[] } | null>,
): Promise<void> {
  let left = keys;
  for (let attempt = 1; left.length > 0; attempt += 1) {
    if (attempt > ATTEMPTS)
      throw new Error(`Cloudflare's API left ${left.length} keys undone, ${ATTEMPTS} times.`);
    if (attempt > 1) await pause(attempt);
    const answer = await retried(() => operation(left));
    left = answer?.unsuccessful_keys ?? [];
  }
}

async function retried<T>(operation: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await operation();
    } catch (error) {
      if (error instanceof APIError) throw new Error(failure(error));
      if (attempt === ATTEMPTS) throw error;
      await pause(attempt);
    }
  }
}

function pause(attempt: number): Promise<void> {
  return sleep(FIRST_PAUSE_MS * 2 ** attempt * (0.5 + Math.random()));
}

function failure({ status, errors, message, cause }: APIError): string {
  if (status === undefined) return `Cloudflare's API can't be reached: ${reasonOf(cause ?? message)}`;
  const details = errors.map(({ code, message }) => `${message} (${code})`).join("; ");
  const advice =
    status === 401 || status === 403
      ? "\nCLOUDFLARE_API_TOKEN must be a token that may edit Workers KV Storage of CLOUDFLARE_ACCOUNT_ID."
      : "";
  return `Cloudflare's API answered ${status}: ${details || message}${advice}`;
}
