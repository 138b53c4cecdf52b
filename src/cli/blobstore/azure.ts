import { AnonymousCredential, ContainerClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { Exit, reasonOf } from "../terminal/exit.ts";
import type { Place, StoredObject } from "./stored-object.ts";

/**
 * Lists the blobs of a container of Azure Blob Storage. Account and credentials come from the environment variables of
 * Azure's own command.
 *
 * @param endpoint URL of the blob service, if it is not Azure's own cloud
 * @throws Exit if the credentials are missing
 */
export function azureObjects(
  { location, bucket, prefix }: Place,
  endpoint: string | undefined,
): AsyncGenerator<StoredObject> {
  return listObjects(createClient(bucket, endpoint), prefix, location);
}

async function* listObjects(
  client: ContainerClient,
  prefix: string,
  location: string,
): AsyncGenerator<StoredObject> {
  try {
    for await (const { name, properties } of client.listBlobsFlat({ prefix })) {
      if (properties.contentLength !== undefined) yield { name, size: properties.contentLength };
    }
  } catch (error) {
    throw new Error(`Can't list ${location}: ${reasonOf(error)}`);
  }
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
      return new ContainerClient(connection, container);
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
    ? new ContainerClient(url, new StorageSharedKeyCredential(account, key))
    : new ContainerClient(`${url}?${sas?.replace(/^\?/, "")}`, new AnonymousCredential());
}
