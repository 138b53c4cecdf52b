import { Failure } from "./failure.ts";
import { causeOf } from "./log.ts";

/**
 * The bytes of a request's body, of which no more than `maximum` are ever held; a failure where they do not arrive
 * whole, which is its client's doing: it has given up, or does not frame its chunks as HTTP has it.
 */
export async function readRequestBody(request: Request, maximum: number): Promise<Uint8Array | Failure> {
  const declared = request.headers.get("Content-Length");
  if (Number(declared) > maximum) return new Failure("body-too-large", `${declared} bytes`);
  // Read at once, it takes half the time that it takes by the thousand chunks of 4 KiB.
  const reading = declared === null ? readBody(request.body, maximum) : readAtOnce(request, maximum);
  return reading.catch((error) => new Failure("parse-error", `the body broke off: ${causeOf(error)}`));
}

async function readAtOnce(request: Request, maximum: number): Promise<Uint8Array | Failure> {
  const body = new Uint8Array(await request.arrayBuffer());
  return body.byteLength > maximum ? new Failure("body-too-large", `${body.byteLength} bytes`) : body;
}

/**
 * The bytes of a body, of which no more than `maximum` are ever held.
 */
export async function readBody(
  body: ReadableStream<Uint8Array> | null,
  maximum: number,
): Promise<Uint8Array | Failure> {
  // Grown in place: chunks that are joined at the end are held twice.
  const buffer = new ArrayBuffer(0, { maxByteLength: maximum });
  const bytes = new Uint8Array(buffer);
  for await (const chunk of body ?? []) {
    const length = bytes.length;
    // Leaving the loop cancels the stream: what is still on its way is not read.
    if (length + chunk.length > maximum) return new Failure("body-too-large", `more than ${maximum} bytes`);
    buffer.resize(length + chunk.length);
    bytes.set(chunk, length);
  }
  return bytes;
}

/** The text of a body; a failure where it is not UTF-8, of which no byte may be replaced: paths are echoed. */
export function decodeBody(bytes: Uint8Array): string | Failure {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new Failure("parse-error", "the body is not UTF-8");
  }
}
