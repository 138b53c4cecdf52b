import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Blob } from "./blobs.ts";
import { afterTests } from "./command.ts";
import { importOf } from "./import-of.ts";

const require = createRequire(import.meta.url);
const AZURITE = join(dirname(require.resolve("azurite/package.json")), "dist/src/blob/main.js");

/** The used part of LokiJS, azurite's database. */
interface Collection {
  insert(documents: object[]): void;
}
interface Database {
  addCollection(name: string, options: { indices: string[] }): Collection;
  saveDatabase(callback: (error: unknown) => void): void;
}
const Loki: new (file: string) => Database = createRequire(AZURITE)("lokijs");

/** Azurite's well-known account. */
const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
export const AZURE_CREDENTIALS = { AZURE_STORAGE_ACCOUNT: ACCOUNT, AZURE_STORAGE_KEY: KEY };

/** Blobs per page. The real service has 5,000; tests need two pages with fewer blobs. */
export const AZURE_PAGE = 20;
const CONSTANTS = join(dirname(AZURITE), "utils/constants.js");
const SMALL_PAGES = `import { createRequire } from "node:module";
  const constants = createRequire(${JSON.stringify(AZURITE)})(${JSON.stringify(CONSTANTS)});
  if (constants.DEFAULT_LIST_BLOBS_MAX_RESULTS !== 5000) throw new Error("azurite's page size has another name");
  constants.DEFAULT_LIST_BLOBS_MAX_RESULTS = ${AZURE_PAGE};`;

const PROPERTIES = { lastModified: new Date(), leaseStatus: "unlocked", leaseState: "available" };

/**
 * Starts azurite, an emulator of Azure Blob Storage, in a process, with one container. The blobs are written to its
 * database, which is faster than uploads. It lists `AZURE_PAGE` blobs at a time.
 *
 * @returns the URL of its account
 */
export async function azureServer(
  directory: string,
  containerName: string,
  blobs: readonly Pick<Blob, "name" | "content">[],
): Promise<string> {
  const database = new Loki(join(directory, "__azurite_db_blob__.json"));
  database
    .addCollection("$CONTAINERS_COLLECTION$", { indices: ["accountName", "name"] })
    .insert([{ accountName: ACCOUNT, name: containerName, properties: { ...PROPERTIES, etag: '"1"' } }]);
  database
    .addCollection("$BLOBS_COLLECTION$", { indices: ["accountName", "containerName", "name", "snapshot"] })
    .insert(blobs.map(({ name, content }) => documentOf(containerName, name, content.length)));
  await new Promise<void>((resolve, reject) =>
    database.saveDatabase((error) => (error ? reject(error) : resolve())),
  );

  const server = spawn(process.execPath, [
    "--import",
    importOf(SMALL_PAGES),
    AZURITE,
    "--location",
    directory,
    "--blobHost",
    "127.0.0.1",
    "--blobPort",
    "0",
    "--silent",
    "--skipApiVersionCheck",
    "--disableTelemetry",
  ]);
  afterTests(() => server.kill());
  const port = await new Promise<string>((resolve, reject) => {
    server.stdout.on("data", (data) => {
      const [, port] = /successfully listens on \S+:(\d+)/.exec(String(data)) ?? [];
      if (port !== undefined) resolve(port);
    });
    server.on("exit", () => reject(new Error("azurite has ended")));
  });
  return `http://127.0.0.1:${port}/${ACCOUNT}`;
}

function documentOf(containerName: string, name: string, contentLength: number): object {
  const properties = {
    ...PROPERTIES,
    creationTime: new Date(),
    etag: '"1"',
    contentLength,
    blobType: "BlockBlob",
    serverEncrypted: true,
    accessTier: "Hot",
  };
  return {
    accountName: ACCOUNT,
    containerName,
    name,
    snapshot: "",
    deleted: false,
    isCommitted: true,
    properties,
  };
}

/** A page of Azure's List Blobs. @param next the marker of the next page; empty on the last one */
export function azureListing(blobs: readonly Pick<Blob, "name" | "content">[], next = ""): string {
  const items = blobs.map(
    ({ name, content }) =>
      `<Blob><Name>${name}</Name><Properties><Content-Length>${content.length}</Content-Length></Properties></Blob>`,
  );
  return `<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ContainerName="pool"><Blobs>${items.join("")}</Blobs><NextMarker>${next}</NextMarker></EnumerationResults>`;
}
