import type { IncomingMessage } from "node:http";
import { locationOf } from "../http.ts";

/**
 * A list of the v3 API. All of it is on one page, whatever `per_page` says.
 *
 * @param baseUrl that of the API, for the links
 */
export function presentPage(resources: readonly unknown[], request: IncomingMessage, baseUrl: string) {
  const page = { href: `${baseUrl}${locationOf(request).pathname}?page=1` };
  return {
    pagination: {
      total_results: resources.length,
      total_pages: 1,
      first: page,
      last: page,
      next: null,
      previous: null,
    },
    resources,
  };
}

/** Whether a query parameter such as `names` is absent, or lists `value` between its commas. */
export function isSelected(request: IncomingMessage, parameter: string, value: string): boolean {
  const selected = locationOf(request).searchParams.get(parameter);
  return selected === null || selected.split(",").includes(value);
}
