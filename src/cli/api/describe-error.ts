import { type ApiResponse, jsonOf } from "./send.ts";

/** Describes an unexpected response, with advice in further lines. */
export function describeError(response: ApiResponse): string {
  const { status, headers, target } = response;
  const lines = [`${target} returned ${status}${detailOf(response)}`];
  if (status === 401) {
    lines.push(
      'Has the token expired? Tokens are valid for some minutes. Get a new one: export CF_TOKEN="$(cf oauth-token)"',
    );
  }
  if (target.includes("/v3/resource_matches/cache")) {
    if (status === 403) {
      lines.push(
        "The token needs the scope cloud_controller.admin. For `list` and `status`, " +
          "cloud_controller.admin_read_only or cloud_controller.global_auditor is enough.",
      );
    }
    if (status === 404) {
      lines.push(
        "There is no Worker at this address. Is --url the base URL of the API, and does the Worker's route end with a " +
          "star? Behind a load balancer, --url must be the Worker's own URL.",
      );
    }
  }
  const location = headers.get("Location");
  if (location !== null) lines.push(`It redirects to ${location}. Is --url the base URL of the API?`);
  return lines.join("\n");
}

/** Text of Cloud Foundry's error envelope, otherwise the beginning of the body. */
function detailOf(response: ApiResponse): string {
  const { errors } = (jsonOf(response) ?? {}) as { errors?: unknown };
  const text = response.body.trim().replaceAll(/\s+/g, " ");
  if (!Array.isArray(errors)) return text === "" ? "." : `: ${text.slice(0, 200)}`;
  return `: ${errors.map((error) => `${error?.detail} (${error?.title}, ${error?.code})`).join("; ")}`;
}
