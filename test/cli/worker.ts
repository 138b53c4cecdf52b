import { inject } from "vitest";
import { startUaa } from "../foundation/uaa/uaa.ts";
import { startWorkerd } from "../support/node/workerd.ts";
import { afterTests } from "./command.ts";

/** Starts the Worker with an empty cache. Returns the option and the environment that lead the command to it. */
export async function startWorker(variables: Record<string, string> = {}) {
  const uaa = await startUaa();
  afterTests(() => uaa.close());
  const tokenWith = (...scopes: string[]) =>
    uaa.issueToken({ scopes: scopes.map((name) => `cloud_controller.${name}`) });
  const worker = await startWorkerd({
    modules: inject("worker"),
    variables: { UAA_URL: uaa.url, ...variables },
  });
  afterTests(() => worker.stop());
  const env = { CF_TOKEN: await tokenWith("write", "admin") };
  return { url: worker.url, urlOption: ["--url", worker.url], env, tokenWith };
}
