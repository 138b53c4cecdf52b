import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Manifest } from "../../src/cache/manifest.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Observations } from "../../src/catalog/observations.ts";

/** The catalog that the Worker under test tells and asks. */
export const catalog = () => env.CATALOG.getByName("catalog");

/** Tells the catalog, as of now where nothing else is said. */
export const report = (observations: Partial<Observations>) =>
  catalog().observe({ asOf: Date.now(), sizes: "verified", ...observations });

/** Runs the catalog's alarm, as the platform does when its time has come. */
export async function runAlarm(): Promise<void> {
  await runDurableObjectAlarm(catalog());
}

export const readManifest = () => env.RESOURCE_CACHE.get<Manifest>("manifest", "json");

/** Runs `use` on the catalog's object while it has other variables and bindings. */
export async function withVariables(
  variables: object,
  use: (instance: Catalog) => Promise<unknown>,
): Promise<void> {
  await runInDurableObject(catalog(), async (instance: Catalog) => {
    const configured = instance as unknown as { env: object };
    const before = configured.env;
    configured.env = { ...before, ...variables };
    await use(instance).finally(() => {
      configured.env = before;
    });
  });
}
