import { describeXmlError, summarizeError } from "../api/describe-error.ts";
import { retry } from "../api/retry.ts";
import { isOutage } from "../api/send.ts";
import { exchange, type HttpRequest, type HttpResponse } from "../network/exchange.ts";
import { reasonOf } from "../terminal/exit.ts";

/** The element of a listing: S3's and Azure's. */
const LISTING = /<(\w+:)?(ListBucketResult|EnumerationResults)[\s>]/;

/**
 * Sends the requests of AWS' and Azure's clients, which have rules of their own for proxies, timeouts and retries, and do not describe
 * responses of other servers.
 */
export class ListingRequests {
  #last: HttpResponse | undefined;

  /** Retries as `retry`. @returns any response that is not an outage */
  async send(request: HttpRequest): Promise<HttpResponse> {
    this.#last = undefined;
    const signal = new AbortController().signal;
    const response = await retry(
      () => exchange(request),
      (response) => !isOutage(response),
      signal,
      describe,
    );
    this.#last = response;
    return response;
  }

  /** @throws Error if the last response is not a listing: AWS' client takes any XML for an empty one */
  requireListing(): void {
    if (!LISTING.test(this.#last?.body ?? "")) throw new Error("not a listing");
  }

  /** Explains an error of the client: by the last response if there is one. */
  explain(error: unknown): string {
    return this.#last ? describe(this.#last) : reasonOf(error);
  }
}

function describe(response: HttpResponse): string {
  const { status, target, body } = response;
  if (status === 200 && LISTING.test(body)) {
    return `${target} returned 200 with a listing of objects that is cut off or damaged.`;
  }
  const summary = summarizeError(response);
  if (isOutage(response) || describeXmlError(body) !== undefined) return summary;
  return (
    `${summary}\nThis is not a listing of objects. Is --endpoint right? A firewall, a proxy or a login page in front of the server ` +
    "may have responded, too."
  );
}
