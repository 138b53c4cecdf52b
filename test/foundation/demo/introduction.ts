import { DEFAULT_LIMITS } from "../cloud-controller/cloud-controller.ts";
import type { Foundation } from "../foundation.ts";
import { type DemoRequest, formatCurl } from "./demo-request.ts";

interface DemoState {
  workerUrl: string;
  foundation: Foundation;
  token: string;
  tokenHours: number;
  request: DemoRequest;
  /** The directory whose files are in the cache. */
  presentDirectory: string;
  /** The app that was pushed. */
  appDirectory: string;
  /** The outcome of the pushes. */
  pushes: string;
}

/** The last line of the introduction. */
export const LAST_LINE = "Press Ctrl-C to stop. The data is kept in .wrangler for the next start.";

/** What `npm start` prints when everything runs. Only the token is wider than 80 columns. */
export function formatIntroduction(state: DemoState): string {
  const { workerUrl, foundation, token, tokenHours, request, presentDirectory, appDirectory, pushes } = state;
  const { uaa, cloudController } = foundation;
  const { present, missing } = request;
  return `
Ready:

  Worker            ${workerUrl}
  UAA               ${uaa.url}
  Cloud Controller  ${cloudController.url}

The app in ${appDirectory}, with one new file added,
was pushed through the Worker three times. The table shows how many of its files
the cache matched, how many the Cloud Controller matched, and how many were
uploaded:

${pushes}

A file is added to the cache after the Cloud Controller has matched it. Files of
up to ${DEFAULT_LIMITS.minimumSize} bytes are never matched, so they are uploaded each time.

To send requests yourself, set the token in another terminal. It is valid for
${tokenHours} hours:

export CF_TOKEN=${token}

Request two files that are in the cache, and one that is not:

${formatCurl(workerUrl, [...present, missing])}

The response is 201 and lists ${present.map(({ path }) => path).join(" and ")}.
It does not list ${missing.path}: cf push would upload that file.

Show which files of a directory a push would upload:

npm run -s resource-pool -- check ${presentDirectory} \\
  --url ${workerUrl}

Show the state of the cache:

npm run -s resource-pool -- status --url ${workerUrl}

${LAST_LINE}
`;
}
