import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { sha1OfBlob } from "../../resource-pool/blob-name.ts";
import { reasonOf } from "../exit.ts";
import { mapOrdered } from "../files/map-ordered.ts";
import { note } from "../output.ts";
import type { Passed, StoredObject } from "./blobstore.ts";

const FILES_AT_A_TIME = 16;

/** The regular files of a blobstore on disk. Links are no blobs, and never followed. */
export async function* directoryObjects(root: string, passed: Passed): AsyncGenerator<StoredObject> {
  for await (const object of mapOrdered(walk(root, "", passed), FILES_AT_A_TIME, measure)) {
    if (object) yield object;
  }

  async function measure(name: string): Promise<StoredObject | undefined> {
    // What no blob is called will be skipped, whatever its size.
    if (sha1OfBlob(name) === undefined) return { name, size: 0 };
    try {
      const { size } = await lstat(join(root, name));
      return { name, size };
    } catch (error) {
      // The Cloud Controller may have removed it meanwhile.
      leaveOut(join(root, name), error, passed);
      return undefined;
    }
  }
}

async function* walk(root: string, parent: string, passed: Passed): AsyncGenerator<string> {
  try {
    for (const entry of await readdir(join(root, parent), { withFileTypes: true })) {
      const name = parent + entry.name;
      if (entry.isDirectory()) yield* walk(root, `${name}/`, passed);
      else if (entry.isFile()) yield name;
      else passed.skipped += 1;
    }
  } catch (error) {
    leaveOut(join(root, parent), error, passed);
  }
}

function leaveOut(path: string, error: unknown, passed: Passed): void {
  passed.leftOut += 1;
  note(`Left out: ${path}: ${reasonOf(error)}`);
}
