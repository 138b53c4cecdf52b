/** A client that has waited so long for the Worker is told a 524 by Cloudflare. */
export const ANSWERED_MAX_MS = 125_000;
/** With a shorter LOOKUP_DEADLINE_MS a well Cloud Controller may take longer than what the Worker waits for. */
export const PATIENT_DEADLINE_MS = 8_000;
