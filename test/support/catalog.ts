import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Manifest } from "../../src/cache/manifest.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Observations } from "../../src/catalog/observations.ts";

/** The catalog of the Worker under test. */
export const catalog = () => env.CATALOG.getByName("catalog");

/** Reports observations, by default as of now. */
export const report = (observations: Partial<Observations>) =>
  catalog().observe({ asOf: Date.now(), sizes: "verified", ...observations });

/** Runs the catalog's alarm if one is set, even before its time. */
export async function runAlarm(): Promise<void> {
  await runDurableObjectAlarm(catalog());
}

export const readManifest = () => env.RESOURCE_CACHE.get<Manifest>("manifest", "json");

/** Gives the catalog's object other variables and bindings, until its storage is reset. */
export async function setVariables(variables: object): Promise<void> {
  await runInDurableObject(catalog(), async (instance: Catalog) => {
    const configured = instance as unknown as { env: object };
    configured.env = { ...configured.env, ...variables };
  });
}

/** Runs `use` on the catalog's object while it has other variables and bindings. */
export async function withVariables<T>(
  variables: object,
  use: (instance: Catalog) => Promise<T>,
): Promise<T> {
  return runInDurableObject(catalog(), async (instance: Catalog) => {
    const configured = instance as unknown as { env: object };
    const before = configured.env;
    configured.env = { ...before, ...variables };
    return use(instance).finally(() => {
      configured.env = before;
    });
  });
}
