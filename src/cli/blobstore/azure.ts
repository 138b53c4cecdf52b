import {
  AnonymousCredential,
  ContainerClient,
  type HttpOperationResponse,
  RestError,
  type StoragePipelineOptions,
  StorageSharedKeyCredential,
  type WebResource,
} from "@azure/storage-blob";
import { retry } from "../api/retry.ts";
import { exchange } from "../network/exchange.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { type Page, readPages } from "./pages.ts";
import type { NotAdded, Place, StoredObject } from "./stored-object.ts";

const OPTIONS: StoragePipelineOptions = {
  httpClient: { sendRequest },
  // Not used. Without it, Azure's client fails for some proxy variables that are valid for others.
  proxyOptions: { host: "http://localhost", port: 80 },
};

/**
 * Lists the blobs of a container of Azure Blob Storage. Account and credentials come from the environment variables of
 * Azure's own command.
 *
 * @param endpoint URL of the blob service, if it is not Azure's own cloud
 * @throws Exit if the credentials are missing
 */
export function azureObjects(
  place: Place,
  endpoint: string | undefined,
  counts: NotAdded,
): AsyncGenerator<StoredObject> {
  return readPages(listPages(createClient(place.bucket, endpoint), place.prefix), place, counts);
}

async function* listPages(client: ContainerClient, prefix: string): AsyncGenerator<Page> {
  try {
    for await (const { segment, continuationToken: next } of client.listBlobsFlat({ prefix }).byPage()) {
      yield {
        objects: segment.blobItems.map(({ name, properties }) => ({ name, size: properties?.contentLength })),
        // Azure always returns a marker. It is empty on the last page.
        isTruncated: next === undefined ? undefined : next !== "",
        next,
      };
    }
  } catch (error) {
    throw new Error(explain(error));
  }
}

function explain(error: unknown): string {
  const isUnreadable = error instanceof RestError && error.code === RestError.PARSE_ERROR;
  // Azure's client reads the members of a response without checks.
  if (isUnreadable || error instanceof TypeError) return "the response is not a listing of blobs";
  return reasonOf(error);
}

function createClient(container: string, endpoint: string | undefined): ContainerClient {
  const {
    AZURE_STORAGE_CONNECTION_STRING: connection,
    AZURE_STORAGE_ACCOUNT: account,
    AZURE_STORAGE_KEY: key,
    AZURE_STORAGE_SAS_TOKEN: sas,
  } = process.env;
  if (connection) {
    try {
      return new ContainerClient(connection, container, OPTIONS);
    } catch (error) {
      throw new Exit("usage", `AZURE_STORAGE_CONNECTION_STRING is invalid: ${reasonOf(error)}`);
    }
  }
  if (!account || !(key || sas)) {
    throw new Exit(
      "usage",
      "There are no credentials for azure://. Set the environment variable AZURE_STORAGE_CONNECTION_STRING, or " +
        "AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN.",
    );
  }
  const service = endpoint?.replace(/\/+$/, "") ?? `https://${account}.blob.core.windows.net`;
  const url = `${service}/${encodeURIComponent(container)}`;
  return key
    ? new ContainerClient(url, new StorageSharedKeyCredential(account, key), OPTIONS)
    : new ContainerClient(`${url}?${sas?.replace(/^\?/, "")}`, new AnonymousCredential(), OPTIONS);
}

/** The HTTP client of Azure's client, which otherwise has its own rules for proxies and waits without a limit. */
async function sendRequest(request: WebResource): Promise<HttpOperationResponse> {
  const response = await retry(
    () =>
      exchange({
        url: new URL(request.url),
        method: request.method,
        headers: request.headers.toJson({ preserveCase: true }),
      }),
    // Azure's client itself retries after a 5xx.
    () => true,
    new AbortController().signal,
  );
  const headers = request.headers.clone();
  for (const name of headers.headerNames()) headers.remove(name);
  response.headers.forEach((value, name) => {
    headers.set(name, value);
  });
  return { request, status: response.status, headers, bodyAsText: response.body };
}
