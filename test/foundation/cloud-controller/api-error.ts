import type { ServerResponse } from "node:http";
import { sendJson } from "../http.ts";

/** Title, code and status of the errors that the local foundation sends. */
const KINDS = {
  "bad-request": { title: "CF-BadRequest", code: 1004, status: 400 },
  "invalid-token": { title: "CF-InvalidAuthToken", code: 1000, status: 401 },
  "not-authenticated": { title: "CF-NotAuthenticated", code: 10002, status: 401 },
  "not-authorized": { title: "CF-NotAuthorized", code: 10003, status: 403 },
  "not-found": { title: "CF-NotFound", code: 10000, status: 404 },
  "resource-not-found": { title: "CF-ResourceNotFound", code: 10010, status: 404 },
  unprocessable: { title: "CF-UnprocessableEntity", code: 10008, status: 422 },
  "message-parse-error": { title: "CF-MessageParseError", code: 1001, status: 400 },
  "bits-already-uploaded": { title: "CF-PackageBitsAlreadyUploaded", code: 150004, status: 400 },
  unknown: { title: "UnknownError", code: 10001, status: 500 },
} as const;

/** A response with Cloud Foundry's error envelope. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly kind: keyof typeof KINDS;

  /** @param detail the text for the user */
  constructor(kind: keyof typeof KINDS, detail: string) {
    super(detail);
    this.kind = kind;
  }

  send(response: ServerResponse): void {
    const { title, code, status } = KINDS[this.kind];
    sendJson(response, status, { errors: [{ detail: this.message, title, code }] });
  }
}
