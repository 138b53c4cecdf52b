import { fileURLToPath } from "node:url";

/** The path of the project, with a trailing slash. */
export const PROJECT_ROOT = fileURLToPath(new URL("../../..", import.meta.url));
