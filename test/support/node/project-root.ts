import { fileURLToPath } from "node:url";

/** With a slash at its end. */
export const PROJECT_ROOT = fileURLToPath(new URL("../../..", import.meta.url));
