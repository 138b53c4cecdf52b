import { DEFAULT_LIMITS } from "./cloud-controller.ts";
import { curlOf, type Demo } from "./demo.ts";
import type { Foundry } from "./foundry.ts";

interface Shown {
  workerUrl: string;
  foundry: Foundry;
  token: string;
  /** How long the token is good for. */
  validity: string;
  demo: Demo;
  /** The directory whose files are in the cache. */
  heldDirectory: string;
  /** The app that was pushed. */
  appDirectory: string;
  /** What came of the pushes. */
  table: string;
}

/** What `npm start` says when all is running. */
export function introduction(shown: Shown): string {
  const { workerUrl, foundry, token, validity, demo, heldDirectory, appDirectory, table } = shown;
  const { uaa, cloudController } = foundry;
  const paths = demo.held.map(({ path }) => path).join(" and ");
  const missing = demo.resources.filter((resource) => !demo.held.includes(resource)).map(({ path }) => path);
  return `
The Worker listens on ${workerUrl}, before a stand-in for a foundation: UAA on ${uaa.url}, the Cloud
Controller on ${cloudController.url}. What they know is kept in .wrangler for the next start.

${appDirectory} and a file that is new were pushed through the Worker three times, as cf push does; in files:

${table}

Its small files are uploaded each time: the Cloud Controller matches none of ${DEFAULT_LIMITS.minimumSize} bytes or less.

The files of ${heldDirectory} are in the cache and in the stand-in. Ask for two of them, and for one that nobody holds:

${curlOf(workerUrl, token, demo.resources)}

It answers 201 with ${paths}, and without ${missing.join(" and ")}: that is what cf push would upload.

Or ask for the whole directory:

CF_TOKEN=${token} npm run -s resource-pool -- check ${heldDirectory} --url ${workerUrl}

The token is good for ${validity}, as long as this runs. Ctrl-C stops everything.
`;
}
