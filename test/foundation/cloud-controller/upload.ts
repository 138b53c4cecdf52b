import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Busboy, type BusboyHeaders, type BusboyInstance } from "@fastify/busboy";
import { ApiError } from "./api-error.ts";

/** The parts of an upload. */
export interface Upload {
  /** JSON text. Empty if the part is missing. */
  resources: string;
  /** Path of the stored file. Undefined if the part is missing. */
  bits: string | undefined;
}

/** Enough for 100,000 matched resources. */
const RESOURCES_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Reads a `multipart/form-data` body. Streams the part `bits` into a new file of `directory`.
 *
 * @throws ApiError
 */
export async function receiveUpload(request: IncomingMessage, directory: string): Promise<Upload> {
  const upload: Upload = { resources: "", bits: undefined };
  const files: Promise<void>[] = [];
  const parser = createParser(request);
  parser.on("field", (name, value) => {
    if (name === "resources") upload.resources = value;
  });
  parser.on("file", (name, stream) => {
    if (name !== "bits") {
      stream.resume();
      return;
    }
    const path = join(directory, `upload-${randomUUID()}`);
    upload.bits = path;
    const written = pipeline(stream, createWriteStream(path));
    // It is awaited below, unless the parser fails first.
    written.catch(() => {});
    files.push(written);
  });
  try {
    await pipeline(request, parser);
    await Promise.all(files);
  } catch {
    if (upload.bits !== undefined) await rm(upload.bits, { force: true });
    throw new ApiError("bad-request", "Bad request: the multipart body is malformed");
  }
  return upload;
}

function createParser(request: IncomingMessage): BusboyInstance {
  try {
    return new Busboy({
      headers: request.headers as BusboyHeaders,
      limits: { fieldSize: RESOURCES_MAX_BYTES },
    });
  } catch {
    throw new ApiError("unprocessable", "Upload must include either resources or bits");
  }
}
