/** `<binary>/8.18.4+sha.date (go1.26.1; amd64 linux)`. The binary is named cf, cf8, cf.exe and so on. */
const CF_CLI = /^cf[\w.-]*\/(\d+)\.(\d+)\.\d+\S* \(go/i;
const TRACE_ID = /^[0-9a-f]{32}$/;

/**
 * The id of the push that a request belongs to. Since 8.12.0 cf CLI sends one trace id with all requests of a process
 * (https://github.com/cloudfoundry/cli/pull/3310).
 *
 * @returns undefined for all other clients: a tracing proxy adds a new id to each of their requests
 */
export function pushIdOf(headers: Headers): string | undefined {
  const [, major = 0, minor = 0] = CF_CLI.exec(headers.get("User-Agent") ?? "")?.map(Number) ?? [];
  if (major < 8 || (major === 8 && minor < 12)) return undefined;
  const traceId = headers.get("X-B3-TraceId") ?? "";
  return TRACE_ID.test(traceId) ? traceId : undefined;
}
