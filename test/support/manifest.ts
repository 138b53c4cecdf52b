import { type CurrentManifest, FORMAT_VERSION, MANIFEST_NAME } from "../../src/cache/manifest.ts";

/** A valid manifest without snapshot and delta, so that only keys match. */
export function minimalManifest(): CurrentManifest {
  return {
    version: FORMAT_VERSION,
    state: "current",
    revision: 0,
    publishedAt: new Date(Date.now()).toISOString(),
    secret: "000102030405060708090a0b0c0d0e0f",
    snapshot: null,
    delta: null,
    areKeysTrusted: true,
    suspendedUntil: null,
  };
}

interface Namespace {
  get(name: string): Promise<string | null>;
  put(name: string, value: string): Promise<void>;
}

/** Writes a manifest if there is none, because keys match only with one. Returns whether it was written. */
export async function putManifestIfMissing(namespace: Namespace, keyPrefix = ""): Promise<boolean> {
  const name = keyPrefix + MANIFEST_NAME;
  if ((await namespace.get(name)) !== null) return false;
  await namespace.put(name, JSON.stringify(minimalManifest()));
  return true;
}
