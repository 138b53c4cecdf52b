import { randomUUID } from "node:crypto";
import { ApiError } from "./api-error.ts";
import { SPACE } from "./space.ts";
import { timestamp } from "./timestamp.ts";

/** An app. It is never started. As in the Cloud Controller, its process `web` has the same GUID. */
export interface App {
  guid: string;
  name: string;
  createdAt: string;
  updatedAt: string;
}

/** A change that applying a manifest would make, as `manifest_diff` lists it. */
export interface ManifestChange {
  op: "add";
  /** JSON Pointer into the manifest. */
  path: string;
  value: string;
}

/** The apps of the space, in memory. They are created by manifests, as cf push does. */
export class Apps {
  readonly #apps = new Map<string, App>();

  /**
   * Creates the apps that a manifest names. Ignores all other properties of the manifest.
   *
   * @throws ApiError
   */
  apply(manifest: string): void {
    const now = timestamp();
    for (const name of parseAppNames(manifest)) {
      const app = this.#findByName(name) ?? { guid: randomUUID(), name, createdAt: now, updatedAt: now };
      this.#apps.set(app.guid, Object.assign(app, { updatedAt: now }));
    }
  }

  /**
   * Lists what `apply` would change.
   *
   * @throws ApiError
   */
  diff(manifest: string): ManifestChange[] {
    return parseAppNames(manifest).flatMap((name, index) =>
      this.#findByName(name)
        ? []
        : [{ op: "add" as const, path: `/applications/${index}/name`, value: name }],
    );
  }

  /** @throws ApiError */
  find(guid: string): App {
    const found = this.#apps.get(guid);
    if (!found) throw new ApiError("resource-not-found", "App not found");
    return found;
  }

  list(): App[] {
    return [...this.#apps.values()];
  }

  #findByName(name: string): App | undefined {
    return this.list().find((app) => app.name === name);
  }
}

/**
 * Parses the names of a manifest's apps. The manifest must have the layout that cf writes: each app begins with its name, at
 * the start of a line.
 *
 * @throws ApiError
 */
function parseAppNames(manifest: string): string[] {
  const names = [...manifest.matchAll(/^- name: (["']?)(.+)\1$/gm)].map(([, , name = ""]) => name);
  if (names.length === 0) throw new ApiError("unprocessable", "The manifest names no app");
  return names;
}

/** @param baseUrl URL of the API, for the links */
export function presentApp({ guid, name, createdAt, updatedAt }: App, baseUrl: string) {
  const self = `${baseUrl}/v3/apps/${guid}`;
  return {
    guid,
    name,
    state: "STOPPED",
    created_at: createdAt,
    updated_at: updatedAt,
    lifecycle: { type: "buildpack", data: { buildpacks: [], stack: "cflinuxfs4" } },
    relationships: {
      space: { data: { guid: SPACE.guid } },
      current_droplet: { data: null },
    },
    metadata: { labels: {}, annotations: {} },
    links: {
      self: { href: self },
      space: { href: `${baseUrl}/v3/spaces/${SPACE.guid}` },
      processes: { href: `${self}/processes` },
      packages: { href: `${self}/packages` },
    },
  };
}
