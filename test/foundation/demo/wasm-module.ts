import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { PROJECT_ROOT } from "../../support/node/project-root.ts";
import { CannotStart } from "./cannot-start.ts";

const NOT_WRITABLE = ["EACCES", "EPERM", "EROFS"];

/**
 * Compiles the WebAssembly module if its source has changed. wrangler would do that too, but prints only a stack if it can't.
 *
 * @param directory of `build.js`
 * @throws CannotStart if the module must be compiled, and the directory is not writable
 */
export async function buildWasmModule(directory = join(PROJECT_ROOT, "src/bytes")): Promise<void> {
  try {
    await import(pathToFileURL(join(directory, "build.js")).href);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!NOT_WRITABLE.includes(code)) throw error;
    throw new CannotStart(
      [
        `Can't compile ${join(directory, "module.wasm")}: ${message}.`,
        "The Worker needs this file, and it is missing or out of date. Start in a clone of your own, or let the owner of this one",
        "compile it:",
        "  node src/bytes/build.js",
      ].join("\n"),
    );
  }
}
