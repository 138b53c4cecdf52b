import type { IncomingMessage, ServerResponse } from "node:http";
import type { Fault } from "./faults.ts";

/** A request that is being processed. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** The value of `:guid`. Empty if the path has none. */
  guid: string;
  fault: Fault | undefined;
}

export type Handler = (exchange: Exchange) => Promise<void> | void;

/** Handlers by method and path: `GET /v3/packages/:guid`. */
export type Routes = Record<string, Handler>;

export interface Route {
  handler: Handler;
  /** Method and path, as in the table. */
  name: string;
  guid: string;
}

export function findRoute(routes: Routes, method: string, pathname: string): Route | undefined {
  for (const [name, handler] of Object.entries(routes)) {
    const pattern = new RegExp(`^${name.replace(":guid", "([^/]+)")}$`);
    const found = pattern.exec(`${method} ${pathname}`);
    if (found) return { handler, name, guid: found[1] ?? "" };
  }
  return undefined;
}
