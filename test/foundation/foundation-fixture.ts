import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CloudControllerLimits } from "./cloud-controller/cloud-controller.ts";
import { type Foundation, startFoundation } from "./foundation.ts";

/** A response of the Cloud Controller. */
export interface ApiResponse {
  status: number;
  headers: Headers;
  text: string;
  /** The parsed body. Undefined if it is no JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests check the type
  json: any;
}

/** A local foundation with an empty pool in a temporary directory. */
export interface FoundationFixture extends Foundation {
  poolDirectory: string;
  /** A space developer's token. */
  token: string;
  /** Sends a request with this token to the Cloud Controller. */
  send(
    method: string,
    path: string,
    body?: string | FormData,
    headers?: Record<string, string>,
  ): Promise<ApiResponse>;
  /** Stops the foundation and deletes the pool. */
  close(): Promise<void>;
}

export async function startFoundationFixture(
  limits: Partial<CloudControllerLimits> = {},
): Promise<FoundationFixture> {
  const poolDirectory = await mkdtemp(join(tmpdir(), "pool-"));
  const { uaa, cloudController, close } = await startFoundation({ poolDirectory, limits });
  const token = await uaa.issueToken();
  return {
    uaa,
    cloudController,
    poolDirectory,
    token,
    async send(method, path, body, headers = {}) {
      const response = await fetch(cloudController.url + path, {
        method,
        headers: { Authorization: `bearer ${token}`, ...headers },
        body: body ?? null,
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, text, json: parseIfJson(text) };
    },
    async close() {
      await close();
      await rm(poolDirectory, { recursive: true, force: true });
    },
  };
}

function parseIfJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
