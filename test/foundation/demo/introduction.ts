import { DEFAULT_LIMITS } from "../cloud-controller/cloud-controller.ts";
import type { Foundation } from "../foundation.ts";
import { type DemoRequest, formatCurl } from "./demo.ts";

interface Shown {
  workerUrl: string;
  foundation: Foundation;
  token: string;
  /** How long the token is good for. */
  hours: number;
  demo: DemoRequest;
  /** The directory whose files are in the cache. */
  heldDirectory: string;
  /** The app that was pushed. */
  appDirectory: string;
  /** What came of the pushes. */
  table: string;
}

/** What `npm start` says when all is running: nothing but the token is wider than 80 columns. */
export function introduction(shown: Shown): string {
  const { workerUrl, foundation, token, hours, demo, heldDirectory, appDirectory, table } = shown;
  const { uaa, cloudController } = foundation;
  const paths = demo.present.map(({ path }) => path).join(" and ");
  const missing = demo.resources
    .filter((resource) => !demo.present.includes(resource))
    .map(({ path }) => path);
  return `
The Worker listens on ${workerUrl}, before a local foundation for a
foundation: UAA on ${uaa.url}, the Cloud Controller on
${cloudController.url}. What they know is kept in .wrangler for the
next start. Ctrl-C stops everything.

A token for everything below, good for ${hours} hours:

export CF_TOKEN=${token}

The files of ${heldDirectory} are in the cache and in the
local foundation. Ask for two of them, and for one that nobody holds:

${formatCurl(workerUrl, demo.resources)}

It answers 201 with ${paths},
and without ${missing.join(" and ")}: that is what cf push would upload.
Ask for the whole directory, or look at the cache:

npm run -s resource-pool -- check ${heldDirectory} \\
  --url ${workerUrl}
npm run -s resource-pool -- status --url ${workerUrl}

${appDirectory} and a file that is new were pushed through
the Worker three times, as cf push does. Of ${DEFAULT_LIMITS.minimumSize} bytes and less the Cloud
Controller matches nothing: such files are uploaded each time. In files:

${table}
`;
}
