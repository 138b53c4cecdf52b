import { causeOf } from "../observability/log.ts";

/** Why a body can't be had whole: it is larger than it may be, or did not arrive to its end. */
export class UnreadBody {
  readonly why: "too-large" | "broken-off";
  readonly reason: string;

  constructor(why: UnreadBody["why"], reason: string) {
    this.why = why;
    this.reason = reason;
  }
}

type Read = Uint8Array | UnreadBody;

/** The bytes of a request's body, of which no more than `maximum` are ever held. Never throws. */
export async function readRequestBody(request: Request, maximum: number): Promise<Read> {
  const declared = request.headers.get("Content-Length");
  if (declared === null) return readBody(request.body, maximum);
  if (Number(declared) > maximum) return new UnreadBody("too-large", `${declared} bytes`);
  // Read at once, it takes half the time that it takes by the thousand chunks of 4 KiB.
  return readAtOnce(request, maximum).catch(brokenOff);
}

/** The bytes of a body, of which no more than `maximum` are ever held. Never throws. */
export async function readBody(body: ReadableStream<Uint8Array> | null, maximum: number): Promise<Read> {
  return readChunks(body, maximum).catch(brokenOff);
}

async function readAtOnce(request: Request, maximum: number): Promise<Read> {
  const body = new Uint8Array(await request.arrayBuffer());
  return body.byteLength > maximum ? new UnreadBody("too-large", `${body.byteLength} bytes`) : body;
}

async function readChunks(body: ReadableStream<Uint8Array> | null, maximum: number): Promise<Read> {
  // Grown in place: chunks that are joined at the end are held twice.
  const buffer = new ArrayBuffer(0, { maxByteLength: maximum });
  const bytes = new Uint8Array(buffer);
  for await (const chunk of body ?? []) {
    const length = bytes.length;
    // Leaving the loop cancels the stream: what is still on its way is not read.
    if (length + chunk.length > maximum) return new UnreadBody("too-large", `more than ${maximum} bytes`);
    buffer.resize(length + chunk.length);
    bytes.set(chunk, length);
  }
  return bytes;
}

function brokenOff(error: unknown): UnreadBody {
  return new UnreadBody("broken-off", `the body broke off: ${causeOf(error)}`);
}
