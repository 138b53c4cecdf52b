import { inject } from "vitest";
import { startUaa } from "../foundation/uaa/uaa.ts";
import { startWorkerd } from "../support/node/workerd.ts";
import { whenAllIsOver } from "./command.ts";

/** The Worker with an empty cache, and what names it and an operator's token to the command. */
export async function runningWorker(variables: Record<string, string> = {}) {
  const uaa = await startUaa();
  whenAllIsOver(() => uaa.close());
  const tokenWith = (...scopes: string[]) =>
    uaa.issueToken({ scopes: scopes.map((name) => `cloud_controller.${name}`) });
  const worker = await startWorkerd({
    modules: inject("worker"),
    variables: { UAA_URL: uaa.url, ...variables },
  });
  whenAllIsOver(() => worker.stop());
  const env = { CF_TOKEN: await tokenWith("write", "admin") };
  return { url: worker.url, to: ["--url", worker.url], env, tokenWith };
}
