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
  /** JSON text; empty where the part is missing. */
  resources: string;
  /** Path of a file of its own; undefined where the part is missing. */
  bits: string | undefined;
}

/** A hundred thousand matched resources and more. */
const RESOURCES_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Reads `multipart/form-data`, the part `bits` straight into a new file of `directory`.
 *
 * @throws ApiError
 */
export async function receiveUpload(request: IncomingMessage, directory: string): Promise<Upload> {
  const upload: Upload = { resources: "", bits: undefined };
  const files: Promise<void>[] = [];
  const parser = parserOf(request);
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
    // Awaited below; the parser may fail before.
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

function parserOf(request: IncomingMessage): BusboyInstance {
  try {
    return new Busboy({
      headers: request.headers as BusboyHeaders,
      limits: { fieldSize: RESOURCES_MAX_BYTES },
    });
  } catch {
    throw new ApiError("unprocessable", "Upload must include either resources or bits");
  }
}
