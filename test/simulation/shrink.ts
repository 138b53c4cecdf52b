import type { Operation, Schedule } from "./schedule.ts";
import { simulate } from "./simulation.ts";

const ATTEMPTS_MAX = 400;

/** Removes operations from a failing schedule as long as it still breaks the same rule first. */
export async function shrink(schedule: Schedule): Promise<Schedule> {
  const rule = (await simulate(schedule)).violations[0]?.rule;
  let operations: readonly Operation[] = schedule.operations;
  let attempts = 0;
  const stillFails = async (some: readonly Operation[]) => {
    attempts += 1;
    const { violations } = await simulate({ ...schedule, operations: [...some] });
    return violations[0]?.rule === rule;
  };
  for (let size = Math.ceil(operations.length / 2); size >= 1 && attempts < ATTEMPTS_MAX; ) {
    let hasShrunk = false;
    for (let from = 0; from < operations.length && attempts < ATTEMPTS_MAX; ) {
      const without = [...operations.slice(0, from), ...operations.slice(from + size)];
      if (without.length < operations.length && (await stillFails(without))) {
        operations = without;
        hasShrunk = true;
      } else {
        from += size;
      }
    }
    if (size === 1 && !hasShrunk) break;
    size = hasShrunk && size === 1 ? 1 : Math.floor(size / 2);
  }
  return { ...schedule, operations: [...operations] };
}
