import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { vi } from "vitest";
import { freePort } from "../foundation/loopback.ts";
import { startUaa } from "../foundation/uaa/uaa.ts";
import { PROJECT_ROOT, startWorker } from "../support/node/worker-process.ts";
import { temporaryDirectory, whenAllIsOver } from "./command.ts";

const START_MAX_MS = 60_000;
const POLL_MS = 100;

/** The Worker with an empty cache, and what names it and an operator's token to the command. */
export async function runningWorker(variables: Record<string, string> = {}) {
  const directory = await temporaryDirectory();
  const toml = await readFile(join(PROJECT_ROOT, "wrangler.toml"), "utf8");
  const config = join(directory, "wrangler.toml");
  await writeFile(config, toml.replace('main = "', `main = "${PROJECT_ROOT}`));
  const uaa = await startUaa();
  whenAllIsOver(() => uaa.close());
  const tokenWith = (...scopes: string[]) =>
    uaa.issueToken({ scopes: scopes.map((name) => `cloud_controller.${name}`) });
  const token = await tokenWith("write", "admin");
  const port = await freePort();
  const worker = startWorker({ port, variables: { UAA_URL: uaa.url, ...variables }, config });
  whenAllIsOver(() => worker.stop());

  const headers = { Authorization: `bearer ${token}` };
  const isUp = async () => {
    const response = await fetch(`${worker.url}/v3/resource_matches/cache`, { headers });
    if (response.status !== 200) throw new Error(await response.text());
  };
  await vi.waitFor(isUp, { timeout: START_MAX_MS, interval: POLL_MS }).catch((error) => {
    throw new Error(`the Worker does not start: ${worker.tail()}`, { cause: error });
  });
  return { url: worker.url, to: ["--url", worker.url], env: { CF_TOKEN: token }, tokenWith };
}
