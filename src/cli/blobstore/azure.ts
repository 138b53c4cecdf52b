import {
  AnonymousCredential,
  ContainerClient,
  type HttpOperationResponse,
  type StoragePipelineOptions,
  StorageSharedKeyCredential,
  type WebResource,
} from "@azure/storage-blob";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { ListingRequests } from "./listing-requests.ts";
import { type Page, readPages } from "./pages.ts";
import type { NotAdded, Place, StoredObject } from "./stored-object.ts";

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
  const requests = new ListingRequests();
  const client = createClient(place.bucket, endpoint, requests);
  return readPages(listPages(client, place.prefix, requests), place, counts);
}

async function* listPages(
  client: ContainerClient,
  prefix: string,
  requests: ListingRequests,
): AsyncGenerator<Page> {
  try {
    for await (const { segment, continuationToken: next } of client.listBlobsFlat({ prefix }).byPage()) {
      requests.requireListing();
      yield {
        objects: segment.blobItems.map(({ name, properties }) => ({ name, size: properties?.contentLength })),
        // Azure always returns a marker. It is empty on the last page.
        isTruncated: next === undefined ? undefined : next !== "",
        next,
      };
    }
  } catch (error) {
    throw new Error(requests.explain(error));
  }
}

function createClient(
  container: string,
  endpoint: string | undefined,
  requests: ListingRequests,
): ContainerClient {
  const options: StoragePipelineOptions = {
    httpClient: { sendRequest: (request) => sendToAzure(request, requests) },
    // `ListingRequests` retries.
    retryOptions: { maxTries: 1 },
    // Not used. Without it, Azure's client fails for some proxy variables that are valid for others.
    proxyOptions: { host: "http://localhost", port: 80 },
  };
  const {
    AZURE_STORAGE_CONNECTION_STRING: connection,
    AZURE_STORAGE_ACCOUNT: account,
    AZURE_STORAGE_KEY: key,
    AZURE_STORAGE_SAS_TOKEN: sas,
  } = process.env;
  if (connection) {
    try {
      return new ContainerClient(connection, container, options);
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
    ? new ContainerClient(url, new StorageSharedKeyCredential(account, key), options)
    : new ContainerClient(`${url}?${sas?.replace(/^\?/, "")}`, new AnonymousCredential(), options);
}

/** The HTTP client of Azure's client. */
async function sendToAzure(request: WebResource, requests: ListingRequests): Promise<HttpOperationResponse> {
  const response = await requests.send({
    url: new URL(request.url),
    method: request.method,
    headers: request.headers.toJson({ preserveCase: true }),
  });
  const headers = request.headers.clone();
  for (const name of headers.headerNames()) headers.remove(name);
  response.headers.forEach((value, name) => {
    headers.set(name, value);
  });
  return { request, status: response.status, headers, bodyAsText: response.body };
}
