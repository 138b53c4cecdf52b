import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ApiError } from "./api-error.ts";
import type { Fingerprint } from "./fingerprints.ts";
import { assemblePackage, type PackagerOptions } from "./packager.ts";
import { timestamp } from "./timestamp.ts";

/** A package of an app. */
export interface Package {
  guid: string;
  appGuid: string;
  state: "AWAITING_UPLOAD" | "PROCESSING_UPLOAD" | "READY" | "FAILED";
  createdAt: string;
  updatedAt: string;
  error: string | null;
  sha256: string | null;
  /** Paths of the files and links of the uploaded archive. The API does not present them. */
  uploaded: string[];
}

/** The packages of a foundation. Their archives are stored in one directory. */
export class Packages {
  readonly #directory: string;
  readonly #packager: PackagerOptions;
  readonly #packages = new Map<string, Package>();
  readonly #jobs = new Set<Promise<void>>();

  constructor(directory: string, packager: PackagerOptions) {
    this.#directory = directory;
    this.#packager = packager;
  }

  /**
   * Creates a package.
   *
   * @param body the parsed body of `POST /v3/packages`
   * @throws ApiError
   */
  create(body: unknown): Package {
    const { type, relationships } = (body ?? {}) as { type?: unknown; relationships?: PackageRelationships };
    if (type !== "bits") throw new ApiError("unprocessable", "Type must be one of 'bits, docker'");
    const appGuid = relationships?.app?.data?.guid;
    if (typeof appGuid !== "string" || appGuid === "") {
      throw new ApiError("unprocessable", "App is invalid. Ensure it exists and you have access to it.");
    }
    const now = timestamp();
    const created: Package = {
      guid: randomUUID(),
      appGuid,
      state: "AWAITING_UPLOAD",
      createdAt: now,
      updatedAt: now,
      error: null,
      sha256: null,
      uploaded: [],
    };
    this.#packages.set(created.guid, created);
    return created;
  }

  /** @throws ApiError */
  find(guid: string): Package {
    const found = this.#packages.get(guid);
    if (!found) throw new ApiError("resource-not-found", "Package not found");
    return found;
  }

  /** Returns the packages of an app, the newest last. */
  ofApp(appGuid: string): Package[] {
    return [...this.#packages.values()].filter((item) => item.appGuid === appGuid);
  }

  /**
   * Sets the package to PROCESSING_UPLOAD, and starts a job that sets it to READY or FAILED and deletes the bits.
   *
   * @throws ApiError
   */
  upload(item: Package, bits: string | undefined, fingerprints: readonly Fingerprint[]): void {
    if (item.state !== "AWAITING_UPLOAD") {
      throw new ApiError(
        "bits-already-uploaded",
        "Bits may be uploaded only once. Create a new package to upload different bits.",
      );
    }
    this.#update(item, { state: "PROCESSING_UPLOAD" });
    const job = this.#process(item, bits, fingerprints);
    this.#jobs.add(job);
    job.finally(() => this.#jobs.delete(job));
  }

  /** Returns the path of the archive of a package that is READY. */
  archiveOf({ guid }: Package): string {
    return join(this.#directory, `${guid}.zip`);
  }

  /** Resolves when no job is running. */
  async waitForJobs(): Promise<void> {
    await Promise.all(this.#jobs);
  }

  async #process(
    item: Package,
    bits: string | undefined,
    fingerprints: readonly Fingerprint[],
  ): Promise<void> {
    try {
      const archive = this.archiveOf(item);
      item.uploaded = await assemblePackage(bits, fingerprints, archive, this.#packager);
      const hash = createHash("sha256");
      await pipeline(createReadStream(archive), hash);
      this.#update(item, { state: "READY", sha256: hash.digest("hex") });
    } catch (error) {
      this.#update(item, { state: "FAILED", error: (error as Error).message });
    } finally {
      if (bits !== undefined) await rm(bits, { force: true });
    }
  }

  #update(item: Package, changes: Partial<Package>): void {
    Object.assign(item, changes, { updatedAt: timestamp() });
  }
}

interface PackageRelationships {
  app?: { data?: { guid?: unknown } };
}

/** @param baseUrl URL of the API, for the links */
export function presentPackage(item: Package, baseUrl: string) {
  const { guid, appGuid, state, createdAt, updatedAt, error, sha256 } = item;
  const self = `${baseUrl}/v3/packages/${guid}`;
  return {
    guid,
    created_at: createdAt,
    updated_at: updatedAt,
    type: "bits",
    data: { error, checksum: { type: "sha256", value: sha256 } },
    state,
    relationships: { app: { data: { guid: appGuid } } },
    metadata: { labels: {}, annotations: {} },
    links: {
      self: { href: self },
      upload: { href: `${self}/upload`, method: "POST" },
      download: { href: `${self}/download` },
      app: { href: `${baseUrl}/v3/apps/${appGuid}` },
    },
  };
}
