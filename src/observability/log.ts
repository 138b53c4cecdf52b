/** Structured logging: one line of JSON an event, so that `wrangler tail` and Workers Logs can filter by field. */

type Fields = Record<string, unknown>;

export interface Log {
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
}

/** A log whose every line carries `context`, for instance the request's id. */
export function createLog(context: Fields): Log {
  const line = (event: string, fields?: Fields) => JSON.stringify({ event, ...context, ...fields });
  return {
    info: (event, fields) => console.log(line(event, fields)),
    warn: (event, fields) => console.warn(line(event, fields)),
    error: (event, fields) => console.error(line(event, fields)),
  };
}

/** What may be logged of something thrown. */
export function causeOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
}
