import { formatCount } from "../../format.ts";
import type { CachedResource } from "../../operator-api/responses.ts";
import { ANY_MODE } from "../../platform-limits.ts";
import type { Endpoint } from "../api/endpoint.ts";
import { type ApiResource, matchedPaths } from "../api/matches.ts";
import type { Known } from "./endpoint.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

const OWNERS_BITS = 0o600;

/**
 * Compares the limits with the Cloud Controller's. It goes by the checksum and by what it is told of size and mode: so one
 * file that it holds is asked for with sizes just within the Worker's limits and just beyond them, and with two modes.
 */
export async function* limitFindings(
  cloudController: Endpoint,
  { status: { configuration }, sample }: Known,
): AsyncGenerator<Finding> {
  if (sample.length === 0) {
    yield warn(
      "size limits",
      "They could not be checked: the catalog holds no file to ask the Cloud Controller for.",
    );
    return;
  }
  const file = await heldOf(sample, cloudController);
  if (!file) {
    yield fail(
      "cloud controller",
      `It matches none of ${formatCount(sample.length, "file")} that the catalog holds. Is its feature flag resource_matching ` +
        "on, and is this its pool? `resource-pool verify` asks for all; `forget` empties the cache.",
    );
    return;
  }
  const sha1 = file.checksum.value;
  const matches = async (size: number, mode = ANY_MODE) =>
    (await matchedPaths(cloudController, [asked(sha1, size, mode)])).size > 0;
  const [minimum, maximum] = [Number(configuration.MINIMUM_SIZE), Number(configuration.MAXIMUM_SIZE)];
  yield await minimumFinding(minimum, file.size_in_bytes, matches);
  yield await maximumFinding(maximum, file.size_in_bytes, matches);

  const mode = configuration.MINIMUM_FILE_MODE;
  const isDemanded = !(await matches(file.size_in_bytes, "0400"));
  const bits = typeof mode === "string" ? Number.parseInt(mode, 8) : 0;
  if (!isDemanded) yield ok("file modes", "The Cloud Controller does not mind a file's mode.");
  else if ((bits & OWNERS_BITS) === OWNERS_BITS) {
    yield ok("file modes", `The Cloud Controller wants 0600, and MINIMUM_FILE_MODE is ${mode}.`);
  } else {
    yield fail(
      "file modes",
      `The Cloud Controller fails a package that claims a file whose mode lacks 0600, and MINIMUM_FILE_MODE is ${mode ?? "not set"}: set it to "0600".`,
    );
  }
}

type IsMatched = (size: number) => Promise<boolean>;

async function minimumFinding(minimum: number, held: number, matches: IsMatched): Promise<Finding> {
  const [below, above] = [minimum - 1, minimum + 1];
  if (above < held && !(await matches(above))) {
    const own = await border(above, held, async (size) => !(await matches(size)));
    return fail(
      "minimum size",
      `The Cloud Controller matches only files larger than ${own} bytes: ${set("MINIMUM_SIZE", own)}`,
    );
  }
  if (below > 0 && (await matches(below))) {
    const smallest = await border(below, -1, matches);
    return warn(
      "minimum size",
      `The Cloud Controller matches files from ${smallest} bytes on, which pushes upload: ${set("MINIMUM_SIZE", Math.max(0, smallest - 1))}`,
    );
  }
  return ok("minimum size", `The Cloud Controller's limit is ${minimum} bytes too, as far as can be asked.`);
}

async function maximumFinding(maximum: number, held: number, matches: IsMatched): Promise<Finding> {
  const [below, above] = [maximum - 1, maximum + 1];
  if (below > held && !(await matches(below))) {
    const own = await border(below, held, async (size) => !(await matches(size)));
    return fail(
      "maximum size",
      `The Cloud Controller matches only files smaller than ${own} bytes: ${set("MAXIMUM_SIZE", own)}`,
    );
  }
  if (above < Number.MAX_SAFE_INTEGER && (await matches(above))) {
    const largest = await border(above, Number.MAX_SAFE_INTEGER, matches);
    return warn(
      "maximum size",
      `The Cloud Controller matches files up to ${largest} bytes, which pushes upload: ${set("MAXIMUM_SIZE", largest + 1)}`,
    );
  }
  return ok("maximum size", `The Cloud Controller's limit is ${maximum} bytes too, as far as can be asked.`);
}

const set = (variable: string, size: number) => `set ${variable} = "${size}".`;

/** The last size, from one for which `isSo` towards one for which it is not, for which it still is. */
async function border(from: number, towards: number, isSo: IsMatched): Promise<number> {
  let [so, not] = [from, towards];
  while (Math.abs(not - so) > 1) {
    const middle = so + Math.trunc((not - so) / 2);
    if (await isSo(middle)) so = middle;
    else not = middle;
  }
  return so;
}

/** The first of the sample that the Cloud Controller matches. */
async function heldOf(
  sample: readonly CachedResource[],
  cloudController: Endpoint,
): Promise<CachedResource | undefined> {
  const resources = sample.map(({ checksum, size_in_bytes: size }) => asked(checksum.value, size, ANY_MODE));
  const matched = await matchedPaths(cloudController, resources);
  return sample.find(({ checksum }) => matched.has(checksum.value));
}

/** By whose path the answer is known. */
function asked(sha1: string, size: number, mode: string): ApiResource {
  return { checksum: { value: sha1 }, size_in_bytes: size, path: sha1, mode };
}
