import { Readable } from "node:stream";
import { paginateListObjectsV2, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { reasonOf } from "../terminal/exit.ts";
import { ListingRequests } from "./listing-requests.ts";
import { type Page, readPages } from "./pages.ts";
import type { NotAdded, Place, StoredObject } from "./stored-object.ts";

/** `ListingRequests` retries after an outage. The second attempt is for a wrong clock: AWS' client corrects it by the response. */
const ATTEMPTS = 2;
/** Servers other than AWS accept this region. */
const DEFAULT_REGION = "us-east-1";
/** Error of AWS' client if neither a variable nor the profile has a region. */
const NO_REGION = /^Region is missing$/;
const REGION_ADVICE =
  "Set AWS_REGION to the bucket's region. If the server is not AWS' (R2, MinIO, …), use --endpoint.";
const CREDENTIALS_ADVICE =
  "Set the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.";

/**
 * Lists the objects of an S3-compatible bucket, with AWS' default chain of credentials.
 *
 * @param endpoint URL of a server other than AWS
 */
export function s3Objects(
  place: Place,
  endpoint: string | undefined,
  counts: NotAdded,
): AsyncGenerator<StoredObject> {
  return readPages(listPages(place, endpoint), place, counts);
}

async function* listPages({ bucket, prefix }: Place, endpoint: string | undefined): AsyncGenerator<Page> {
  const requests = new ListingRequests();
  try {
    const client = new S3Client(clientOptions(endpoint, bucket, requests));
    for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: prefix })) {
      requests.requireListing();
      yield {
        objects: (page.Contents ?? []).map(({ Key: name, Size: size }) => ({ name, size })),
        count: page.KeyCount,
        isTruncated: page.IsTruncated,
        next: page.NextContinuationToken,
      };
    }
  } catch (error) {
    throw new Error(explain(error, requests));
  }
}

function explain(error: unknown, requests: ListingRequests): string {
  const reason = reasonOf(error);
  if (NO_REGION.test(reason)) return `${reason}. ${REGION_ADVICE}`;
  if (error instanceof Error && error.name === "CredentialsProviderError") {
    return `There are no valid credentials for s3:// (${reason}). ${CREDENTIALS_ADVICE}`;
  }
  return requests.explain(error);
}

/**
 * Most servers other than AWS have no host name for each bucket; some (Alibaba's OSS) have nothing else. An endpoint that
 * begins with the bucket's name is the host of the bucket.
 */
function clientOptions(
  endpoint: string | undefined,
  bucket: string,
  requests: ListingRequests,
): S3ClientConfig {
  // AWS' client for JavaScript reads only the first variable, AWS' own command both. Without them, the profile counts.
  const region = process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION;
  const options: S3ClientConfig = {
    maxAttempts: ATTEMPTS,
    requestHandler: { handle: (request: AwsRequest) => sendToAws(request, requests) },
  };
  if (region) options.region = region;
  if (endpoint === undefined) return options;

  const url = new URL(endpoint);
  const isBucketHost = url.host.startsWith(`${bucket}.`);
  if (isBucketHost) url.host = url.host.slice(bucket.length + 1);
  options.endpoint = url.href;
  options.forcePathStyle = !isBucketHost;
  options.region ??= DEFAULT_REGION;
  return options;
}

/** A request and a response of AWS' client. */
interface AwsRequest {
  method: string;
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  query: Record<string, string | string[] | null>;
  headers: Record<string, string>;
  body?: string | Uint8Array;
}

/** The HTTP client of AWS' client. */
async function sendToAws(
  { protocol, hostname, port, path, query, body, ...request }: AwsRequest,
  requests: ListingRequests,
) {
  const url = new URL(`${protocol}//${hostname}${port === undefined ? "" : `:${port}`}${path}`);
  url.search = queryString(query);
  const { status, headers, body: text } = await requests.send({ ...request, url, ...(body && { body }) });
  const response = {
    statusCode: status,
    headers: Object.fromEntries(headers),
    body: Readable.from([Buffer.from(text)]),
  };
  return { response };
}

/** Encodes a query as AWS' signature requires. */
function queryString(query: AwsRequest["query"]): string {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(
      /[!'()*]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  return Object.entries(query)
    .flatMap(([name, values]) => [values ?? ""].flat().map((value) => `${encode(name)}=${encode(value)}`))
    .join("&");
}
