export const EXIT_CODES = {
  done: 0,
  failed: 1,
  usage: 2,
  incomplete: 3,
  interrupted: 130,
} as const;

/** Ends the command with an exit code. The message goes to stderr; it is empty if everything was printed already. */
export class Exit extends Error {
  override name = "Exit";
  readonly reason: keyof typeof EXIT_CODES;

  constructor(reason: keyof typeof EXIT_CODES, message = "") {
    super(message);
    this.reason = reason;
  }
}

/** The message of the root cause. */
export function reasonOf(error: unknown): string {
  const cause = innermostCause(error);
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

/** The innermost cause; of several errors the first. */
export function innermostCause(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (error.cause instanceof Error) return innermostCause(error.cause);
  if (error instanceof AggregateError && error.errors.length > 0) return innermostCause(error.errors[0]);
  return error;
}
