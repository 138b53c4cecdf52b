import type { Configuration } from "../configuration.ts";
import { Tellings } from "./tellings.ts";

/** Callers whose pushes an isolate remembers for itself, for when their memory can't be reached. */
const CALLERS_MAX = 8;

/** They live as long as the configuration that they belong to: as the env object. */
const memoriesOf = new WeakMap<Configuration, Map<string, Tellings>>();

/** The isolate's own memory of a caller's pushes. */
export function ownMemoryOf(caller: string, configuration: Configuration): Tellings {
  const memories = memoriesOf.get(configuration) ?? new Map<string, Tellings>();
  memoriesOf.set(configuration, memories);
  const own = memories.get(caller) ?? new Tellings();
  // The last is the one that was used last.
  memories.delete(caller);
  memories.set(caller, own);
  for (const oldest of memories.keys()) {
    if (memories.size <= CALLERS_MAX) break;
    memories.delete(oldest);
  }
  return own;
}
