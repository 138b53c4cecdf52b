import { Failure } from "../failure.ts";
import { BODY_MAX_BYTES } from "../platform-limits.ts";
import { readRequestBody, UnreadBody } from "./body.ts";

/**
 * The bytes of a request's body. A failure where it is larger than 15 MiB, or does not arrive whole, which is its client's
 * doing: it has given up, or does not frame its chunks as HTTP has it.
 */
export async function receiveBody(request: Request): Promise<Uint8Array | Failure> {
  const body = await readRequestBody(request, BODY_MAX_BYTES);
  return body instanceof UnreadBody ? unread(body) : body;
}

/** What the client is told of a body that can't be had whole. */
export function unread({ why, reason }: UnreadBody): Failure {
  return new Failure(why === "too-large" ? "body-too-large" : "parse-error", reason);
}

const DECODED_AT_A_TIME = 64 * 1024;

/** Whether bytes are UTF-8: told without a text of all of them. */
export function isUtf8(body: Uint8Array): boolean {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    for (let at = 0; at < body.length; at += DECODED_AT_A_TIME) {
      decoder.decode(body.subarray(at, at + DECODED_AT_A_TIME), { stream: true });
    }
    decoder.decode();
    return true;
  } catch {
    return false;
  }
}

/** The text of a body; a failure where it is not UTF-8, of which no byte may be replaced: paths are echoed. */
export function decodeBody(bytes: Uint8Array): string | Failure {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new Failure("parse-error", "the body is not UTF-8");
  }
}
