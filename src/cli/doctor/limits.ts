import { formatCount } from "../../format.ts";
import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { type ApiResource, requestMatchedPaths } from "../api/matches.ts";
import type { Known } from "./endpoint.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

const OWNER_BITS = 0o600;

/**
 * Compares the limits with the Cloud Controller's. The Cloud Controller looks up the checksum, and trusts the size and
 * the mode of the request. So one file of its pool is requested with sizes around the Worker's limits and with two modes.
 */
export async function* limitFindings(
  cloudController: Endpoint,
  { status: { configuration }, sample }: Known,
): AsyncGenerator<Finding> {
  if (sample.length === 0) {
    yield warn(
      "size limits",
      "They could not be checked: the catalog has no file that the Cloud Controller may match.",
    );
    return;
  }
  const file = await findMatched(sample, cloudController);
  if (!file) {
    yield fail(
      "cloud controller",
      `It matches none of ${formatCount(sample.length, "file")} in the catalog. Is its feature flag resource_matching ` +
        "enabled, and is this its pool? `resource-pool verify` checks all files; `resource-pool forget` empties the cache.",
    );
    return;
  }
  const sha1 = file.checksum.value;
  const isMatched = async (size: number, mode = ANY_MODE) =>
    (await requestMatchedPaths(cloudController, [resourceOf(sha1, size, mode)])).size > 0;
  yield await minimumFinding(Number(configuration.MINIMUM_SIZE), file.size_in_bytes, isMatched);
  yield await maximumFinding(Number(configuration.MAXIMUM_SIZE), file.size_in_bytes, isMatched);

  const mode = configuration.MINIMUM_FILE_MODE;
  const requiresMode = !(await isMatched(file.size_in_bytes, "0400"));
  const bits = typeof mode === "string" ? Number.parseInt(mode, 8) : 0;
  if (!requiresMode) yield ok("file modes", "The Cloud Controller ignores the modes of files.");
  else if ((bits & OWNER_BITS) === OWNER_BITS) {
    yield ok("file modes", `The Cloud Controller requires mode 0600, and MINIMUM_FILE_MODE is ${mode}.`);
  } else {
    yield fail(
      "file modes",
      "The Cloud Controller fails a package with a matched file whose mode lacks 0600, and MINIMUM_FILE_MODE is " +
        `${mode ?? "not set"}: set MINIMUM_FILE_MODE = "0600".`,
    );
  }
}

type IsMatched = (size: number) => Promise<boolean>;

/** @param matchedSize bytes; the Cloud Controller matches it */
async function minimumFinding(minimum: number, matchedSize: number, isMatched: IsMatched): Promise<Finding> {
  const [below, above] = [minimum - 1, minimum + 1];
  if (above < matchedSize && !(await isMatched(above))) {
    const limit = await findLast(above, matchedSize, async (size) => !(await isMatched(size)));
    return fail(
      "minimum size",
      `The Cloud Controller matches only files larger than ${limit} bytes: ${setting("MINIMUM_SIZE", limit)}`,
    );
  }
  if (below > 0 && (await isMatched(below))) {
    const smallest = await findLast(below, -1, isMatched);
    return warn(
      "minimum size",
      `The Cloud Controller matches files of ${smallest} bytes or more, and pushes upload small ones: ` +
        setting("MINIMUM_SIZE", Math.max(0, smallest - 1)),
    );
  }
  return ok(
    "minimum size",
    `As far as it can be checked, the Cloud Controller's limit is ${minimum} bytes too.`,
  );
}

/** @param matchedSize bytes; the Cloud Controller matches it */
async function maximumFinding(maximum: number, matchedSize: number, isMatched: IsMatched): Promise<Finding> {
  const [below, above] = [maximum - 1, maximum + 1];
  if (below > matchedSize && !(await isMatched(below))) {
    const limit = await findLast(below, matchedSize, async (size) => !(await isMatched(size)));
    return fail(
      "maximum size",
      `The Cloud Controller matches only files smaller than ${limit} bytes: ${setting("MAXIMUM_SIZE", limit)}`,
    );
  }
  if (above < Number.MAX_SAFE_INTEGER && (await isMatched(above))) {
    const largest = await findLast(above, Number.MAX_SAFE_INTEGER, isMatched);
    return warn(
      "maximum size",
      `The Cloud Controller matches files of up to ${largest} bytes, and pushes upload large ones: ` +
        setting("MAXIMUM_SIZE", largest + 1),
    );
  }
  return ok(
    "maximum size",
    `As far as it can be checked, the Cloud Controller's limit is ${maximum} bytes too.`,
  );
}

const setting = (variable: string, size: number) => `set ${variable} = "${size}".`;

/**
 * Finds by bisection the last size that passes a test.
 *
 * @param passing a size that passes
 * @param failing a smaller or larger size that does not
 */
async function findLast(passing: number, failing: number, test: IsMatched): Promise<number> {
  let [last, next] = [passing, failing];
  while (Math.abs(next - last) > 1) {
    const middle = last + Math.trunc((next - last) / 2);
    if (await test(middle)) last = middle;
    else next = middle;
  }
  return last;
}

/** Finds a resource of the sample that the Cloud Controller matches. */
async function findMatched(
  sample: readonly CachedResource[],
  cloudController: Endpoint,
): Promise<CachedResource | undefined> {
  const resources = sample.map(({ checksum, size_in_bytes: size }) =>
    resourceOf(checksum.value, size, ANY_MODE),
  );
  const matched = await requestMatchedPaths(cloudController, resources);
  return sample.find(({ checksum }) => matched.has(checksum.value));
}

/** The path identifies the resource in the response. */
function resourceOf(sha1: string, size: number, mode: string): ApiResource {
  return { checksum: { value: sha1 }, size_in_bytes: size, path: sha1, mode };
}
