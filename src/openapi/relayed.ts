import { COMMON_HEADERS, sharedResponses } from "./failures.ts";

interface Response {
  $ref?: string;
  description?: string;
  headers?: object;
  content?: Record<string, object>;
}

/** Whatever stands before the Cloud Controller may answer too, with a body of its own. */
const ANYTHING = { "*/*": {} };

/**
 * The responses of an operation that the Cloud Controller answers in shadow mode: each may come with another body than the
 * Worker's, and any other status is possible.
 */
export async function orRelayed(responses: Record<string, Response>): Promise<object> {
  const shared: Record<string, Response> = await sharedResponses();
  const either = Object.entries(responses).map(([status, response]) => {
    const own = response.$ref ? shared[status] : response;
    return [status, { ...own, content: { ...own?.content, ...ANYTHING } }];
  });
  return {
    ...Object.fromEntries(either),
    default: {
      description: "In shadow mode: what the Cloud Controller has answered, as it came.",
      headers: COMMON_HEADERS,
      content: ANYTHING,
    },
  };
}
