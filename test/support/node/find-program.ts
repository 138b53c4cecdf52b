import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where Debian installs servers. It is not on the PATH of every user. */
const SYSTEM_DIRECTORY = "/usr/sbin";

/** The path of the first of these programs that is installed. */
export function findProgram(...names: string[]): string | undefined {
  const directories = [...(process.env.PATH ?? "").split(delimiter), SYSTEM_DIRECTORY];
  return directories.flatMap((directory) => names.map((name) => join(directory, name))).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
