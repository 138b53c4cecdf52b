import { formatCount } from "../../format.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { checksumsOf, requestMatches } from "../api/matches.ts";
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
      "They could not be checked: the cache has no file that the Cloud Controller may match. Run `doctor` again once it has.",
    );
    return;
  }
  const matched = checksumsOf(await requestMatches(cloudController, sample));
  const file = sample.find(({ checksum }) => matched.has(checksum.value));
  if (!file) {
    yield fail(
      "cloud controller",
      `It matches none of ${formatCount(sample.length, "file")} of the cache, so pushes with matches of the cache fail. Check whether ` +
        "its feature flag resource_matching is enabled, and whether the Worker belongs to this foundation. If the pool was wiped, run " +
        "`resource-pool forget --yes`. `resource-pool verify` checks all files.",
    );
    return;
  }
  const isMatched = async (size: number, mode?: string) =>
    (await requestMatches(cloudController, [{ ...file, size_in_bytes: size, mode }])).length > 0;
  const matchedSize = file.size_in_bytes;
  yield await limitFinding("minimum", Number(configuration.MINIMUM_SIZE), matchedSize, isMatched);
  yield await limitFinding("maximum", Number(configuration.MAXIMUM_SIZE), matchedSize, isMatched);

  const mode = configuration.MINIMUM_FILE_MODE;
  const requiresMode = !(await isMatched(matchedSize, "0400"));
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
async function limitFinding(
  which: "minimum" | "maximum",
  limit: number,
  matchedSize: number,
  isMatched: IsMatched,
): Promise<Finding> {
  const isMinimum = which === "minimum";
  const outwards = isMinimum ? -1 : 1;
  const [outside, inside] = [limit + outwards, limit - outwards];
  const setting = (size: number) => `set ${isMinimum ? "MINIMUM_SIZE" : "MAXIMUM_SIZE"} = "${size}".`;

  const isNearerToLimit = (inside - matchedSize) * outwards > 0;
  if (isNearerToLimit && !(await isMatched(inside))) {
    const own = await findLast(inside, matchedSize, async (size) => !(await isMatched(size)));
    const comparison = isMinimum ? "larger" : "smaller";
    return fail(
      `${which} size`,
      `The Cloud Controller matches only files ${comparison} than ${own} bytes: ${setting(own)}`,
    );
  }
  if (outside > 0 && outside < Number.MAX_SAFE_INTEGER && (await isMatched(outside))) {
    const last = await findLast(outside, isMinimum ? -1 : Number.MAX_SAFE_INTEGER, isMatched);
    return warn(
      `${which} size`,
      `The Cloud Controller matches files of ${last} bytes ${isMinimum ? "or more" : "or less"}, and pushes upload ` +
        `some of them: ${setting(Math.max(0, last + outwards))}`,
    );
  }
  return ok(
    `${which} size`,
    `As far as it can be checked, the Cloud Controller's limit is ${limit} bytes too.`,
  );
}

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
