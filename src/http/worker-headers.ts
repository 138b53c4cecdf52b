import { version } from "../../package.json";
import { VIA } from "./via.ts";

/** Headers of the requests that the Worker itself sends. Firewalls may refuse a request without User-Agent. */
export const WORKER_HEADERS = { "User-Agent": `resource-matches/${version}`, Via: VIA };
