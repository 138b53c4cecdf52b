import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MUTATIONS } from "./mutations.ts";

const name = process.env.SIMULATION_MUTATION;
const mutation = name === undefined ? undefined : MUTATIONS[name];
if (name !== undefined && !mutation)
  throw new Error(`no mutation ${name}; there are ${Object.keys(MUTATIONS)}`);
const mutatedPath = mutation && fileURLToPath(new URL(`../../${mutation.file}`, import.meta.url).href);

/**
 * What a file is to be loaded as where the variable SIMULATION_MUTATION names a mutation of it; undefined for every other.
 *
 * @param path absolute
 */
export function mutatedText(path: string): string | undefined {
  if (!mutation || path !== mutatedPath) return undefined;
  const { file, from, to } = mutation;
  const pieces = readFileSync(path, "utf8").split(from);
  if (pieces.length !== 2) throw new Error(`${file} has ${pieces.length - 1} times: ${from}`);
  return pieces.join(to);
}
