import { AnonymousCredential, ContainerClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { Exit, reasonOf } from "../terminal/exit.ts";
import type { Place, StoredObject } from "./stored-object.ts";

/**
 * The blobs of a container of Azure Blob Storage, with the account and the credentials of the variables that Azure's own
 * command takes. Nothing but the list is read.
 *
 * @param endpoint the URL of the account's blob service, of another cloud than Azure's own
 * @throws Exit at once where the credentials are missing
 */
export function azureObjects(
  { location, bucket, prefix }: Place,
  endpoint: string | undefined,
): AsyncGenerator<StoredObject> {
  return objectsOf(clientOf(bucket, endpoint), prefix, location);
}

async function* objectsOf(
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

function clientOf(container: string, endpoint: string | undefined): ContainerClient {
  const {
    AZURE_STORAGE_CONNECTION_STRING: connection,
    AZURE_STORAGE_ACCOUNT: account,
    AZURE_STORAGE_KEY: key,
    AZURE_STORAGE_SAS_TOKEN: sas,
  } = process.env;
  if (connection) return connected(connection, container);
  if (!account || !(key || sas)) {
    throw new Exit(
      "wrong-usage",
      "azure:// needs AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or " +
        "AZURE_STORAGE_SAS_TOKEN, in the environment.",
    );
  }
  const service = endpoint?.replace(/\/+$/, "") ?? `https://${account}.blob.core.windows.net`;
  const url = `${service}/${encodeURIComponent(container)}`;
  return key
    ? new ContainerClient(url, new StorageSharedKeyCredential(account, key))
    : new ContainerClient(`${url}?${sas?.replace(/^\?/, "")}`, new AnonymousCredential());
}

function connected(connection: string, container: string): ContainerClient {
  try {
    return new ContainerClient(connection, container);
  } catch (error) {
    throw new Exit("wrong-usage", `AZURE_STORAGE_CONNECTION_STRING: ${reasonOf(error)}`);
  }
}
