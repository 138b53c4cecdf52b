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

/** What errors of the file system mean for a path that the message names. */
const FILE_ERRORS: Record<string, string> = {
  ENOENT: "it does not exist",
  ENOTDIR: "a part of its path is a file, and not a directory",
  EISDIR: "it is a directory",
  EACCES: "this user may not read it: see its permissions",
  EPERM: "this user may not read it: see its permissions",
  ELOOP: "its symbolic links lead in a circle",
};

/** The message of the root cause. Errors of the file system are explained without the path, which the message names before. */
export function reasonOf(error: unknown): string {
  const cause = innermostCause(error);
  if (!(cause instanceof Error)) return String(cause);
  const { code = "", path } = cause as NodeJS.ErrnoException;
  const explanation = path === undefined ? undefined : FILE_ERRORS[code];
  return explanation ?? (cause.message || cause.name);
}

/** The innermost cause; of several errors the first. */
export function innermostCause(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (error.cause instanceof Error) return innermostCause(error.cause);
  if (error instanceof AggregateError && error.errors.length > 0) return innermostCause(error.errors[0]);
  return error;
}
