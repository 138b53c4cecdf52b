import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MUTATIONS } from "./mutations.ts";

const name = process.env.SIMULATION_MUTATION;
const mutation = name === undefined ? undefined : MUTATIONS[name];
if (name !== undefined && !mutation)
  throw new Error(`There is no mutation "${name}". mutations.ts has them.`);
const mutatedPath = mutation && fileURLToPath(new URL(`../../${mutation.file}`, import.meta.url).href);

/**
 * The source of a file with the mutation that the variable SIMULATION_MUTATION names; undefined if that changes no or
 * another file.
 *
 * @param path absolute
 */
export function mutatedSource(path: string): string | undefined {
  if (!mutation || path !== mutatedPath) return undefined;
  const { file, from, to } = mutation;
  const pieces = readFileSync(path, "utf8").split(from);
  if (pieces.length !== 2)
    throw new Error(`${file} must contain this text once, not ${pieces.length - 1} times: ${from}`);
  return pieces.join(to);
}
