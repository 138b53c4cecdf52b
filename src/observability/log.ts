/** A structured log: a line of JSON per event, so that `wrangler tail` and Workers Logs can filter by field. */
export interface Log {
  info(event: string, fields?: object): void;
  warn(event: string, fields?: object): void;
  error(event: string, fields?: object): void;
}

/** @param context fields of every line, such as the id of the request */
export function createLog(context: object): Log {
  const line = (event: string, fields?: object) => JSON.stringify({ event, ...context, ...fields });
  return {
    info: (event, fields) => console.log(line(event, fields)),
    warn: (event, fields) => console.warn(line(event, fields)),
    error: (event, fields) => console.error(line(event, fields)),
  };
}

/** The name and message of an exception, for the log. */
export function causeOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
}
