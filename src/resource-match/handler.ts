import { authenticate } from "../authentication.ts";
import { decodeBody, readRequestBody } from "../body.ts";
import type { Configuration } from "../configuration.ts";
import { Deadline } from "../deadline.ts";
import { Failure, jsonResponse } from "../failure.ts";
import { causeOf } from "../log.ts";
import { BODY_MAX_BYTES } from "../platform-limits.ts";
import type { RequestContext } from "../request-context.ts";
import { keysTier } from "../resource-pool/keys-tier.ts";
import { learn } from "../resource-pool/learn.ts";
import { ORIGIN, originTier } from "../resource-pool/origin-tier.ts";
import { SnapshotHolder } from "../resource-pool/snapshot/holder.ts";
import { refusalOf } from "./access.ts";
import { answerText } from "./answer.ts";
import { type Matches, matchResources, type Sources } from "./match.ts";
import { parseResources, type Resource } from "./request.ts";

/** Answers `POST /v3/resource_matches`: which of the files of an app the platform already holds. */
export async function handleResourceMatches(
  request: Request,
  context: RequestContext,
): Promise<Response | Failure> {
  const { configuration } = context;

  const body = await readRequestBody(request, BODY_MAX_BYTES);
  if (body instanceof Failure) return body;
  const caller = await authenticate(request, context);
  if (caller instanceof Failure) return caller;
  const refusal = await refusalOf(caller, context);
  if (refusal) return refusal;
  const text = decodeBody(body);
  if (text instanceof Failure) return text;
  const resources = parseResources(text);
  if (resources instanceof Failure) return resources;

  if (!configuration.features.resourceMatching) return answer([]);
  const deadline = new Deadline(configuration.lookupDeadlineMs);
  const sources = await sourcesFor(request, resources.length, context);
  const matches = await matchResources(resources, configuration.eligibility, sources, deadline);
  if (matches instanceof Response) return matches;
  report(resources, matches, context);
  const learned = matches.heldBy.get(ORIGIN);
  if (learned?.length) context.waitUntil(learn(learned, context));
  return answer(
    matches.resources,
    matches.faults.map(({ warning }) => warning),
  );
}

/** The snapshots live as long as the configuration that they belong to: as the env object, the isolate. */
const snapshots = new WeakMap<Configuration, SnapshotHolder>();

async function sourcesFor(
  { headers }: Request,
  resources: number,
  context: RequestContext,
): Promise<Sources> {
  const { configuration, requestId } = context;
  const { cache, keyPrefix, kvCacheTtl: cacheTtl, cloudControllerUrl: url } = configuration;
  const holder = snapshots.get(configuration) ?? new SnapshotHolder(cache, { keyPrefix, cacheTtl });
  snapshots.set(configuration, holder);

  const tiers = [keysTier(cache, { keyPrefix, cacheTtl })];
  if (url) tiers.push(originTier({ url, authorization: headers.get("Authorization") ?? "", requestId }));
  return { snapshot: await holder.forRequest(resources, configuration.lookupDeadlineMs / 2, context), tiers };
}

function report(
  { length: resources }: readonly Resource[],
  { inSnapshot, asked, heldBy, faults, resources: { length: matched } }: Matches,
  { configuration, log }: RequestContext,
): void {
  for (const { details } of faults) log.warn("look-up-incomplete", { ...details });
  const held = Object.fromEntries([...heldBy].map(([tier, keys]) => [tier, keys.length]));
  log.info("matched", { resources, matched, snapshot: inSnapshot, asked, held });
  try {
    configuration.metrics?.writeDataPoint({
      indexes: ["resource_matches"],
      doubles: [resources, matched, inSnapshot, asked, held.keys ?? 0, held.origin ?? 0, faults.length],
    });
  } catch (error) {
    log.error("metrics-unavailable", { cause: causeOf(error) });
  }
}

function answer(resources: readonly Resource[], warnings: readonly string[] = []): Response {
  // A comma parts warnings, and cf CLI aborts on a bad escape: every other character is encoded.
  const headers = warnings.length > 0 ? { "X-Cf-Warnings": warnings.map(encodeURIComponent).join(",") } : {};
  return jsonResponse(answerText(resources), 201, headers);
}
