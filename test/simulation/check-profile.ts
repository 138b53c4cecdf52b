import { expect, it } from "vitest";
import { generate } from "./generate.ts";
import { MUTATIONS } from "./mutations.ts";
import type { ProfileName } from "./profiles.ts";
import { simulate } from "./simulation.ts";

/** Beside the seeds that catch a mutation; `npm run simulate` takes as many as are wanted. */
const SEEDS = 10;
/** Some 2 s where the machine has nothing else to do. */
const TIMEOUT_MS = 120_000;

/** Profiles of the reading side; they and the others are a file each, so that two cores share the work. */
export const READING: readonly ProfileName[] = ["well", "unwell-kv", "isolates", "pushes"];

/** The first schedules of a profile, and those that have shown that they notice something. */
function seedsOf(profile: ProfileName): number[] {
  const first = Array.from({ length: SEEDS }, (_, index) => index + 1);
  const noticing = Object.values(MUTATIONS).filter((mutation) => mutation.profile === profile);
  return [...new Set([...first, ...noticing.flatMap(({ seed }) => seed ?? [])])];
}

/** Schedules of a profile break no rule, and run the same way whenever they run. */
export function checkProfile(profile: ProfileName): void {
  const seeds = seedsOf(profile);

  it(
    `breaks no rule in ${seeds.length} schedules`,
    async () => {
      const failing: string[] = [];
      let due = 0;
      for (const seed of seeds) {
        const { violations, counts } = await simulate(generate(profile, seed));
        due += counts.due;
        for (const { rule, text } of violations.slice(0, 1)) {
          failing.push(`npm run simulate -- --profile ${profile} --seed ${seed}: ${rule}: ${text}`);
        }
      }
      expect(failing).toEqual([]);
      // A Worker that always says no would break hardly any rule.
      expect(due).toBeGreaterThan(seeds.length);
    },
    TIMEOUT_MS,
  );

  it("runs the same way twice", async () => {
    const run = async () => (await simulate(generate(profile, 7))).traceHash;
    expect(await run()).toBe(await run());
  });
}
