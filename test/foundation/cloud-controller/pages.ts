import type { IncomingMessage } from "node:http";
import { parseUrl } from "../http.ts";

/**
 * Presents a list of the v3 API on one page. Ignores `per_page`.
 *
 * @param baseUrl URL of the API, for the links
 */
export function presentPage(resources: readonly unknown[], request: IncomingMessage, baseUrl: string) {
  const page = { href: `${baseUrl}${parseUrl(request).pathname}?page=1` };
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

/** Whether a query parameter such as `names` is absent, or its comma-separated list has `value`. */
export function isSelected(request: IncomingMessage, parameter: string, value: string): boolean {
  const selected = parseUrl(request).searchParams.get(parameter);
  return selected === null || selected.split(",").includes(value);
}
