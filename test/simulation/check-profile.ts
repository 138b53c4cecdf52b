import { expect, it } from "vitest";
import { generate } from "./generate.ts";
import type { ProfileName } from "./profiles.ts";
import { simulate } from "./simulation.ts";

const SCHEDULES = 200;
/** Some 5 s where the machine has nothing else to do. */
const TIMEOUT_MS = 300_000;

/** Profiles of the reading side; they and the others are a file each, so that two cores share the work. */
export const READING: readonly ProfileName[] = ["well", "unwell-kv", "isolates", "pushes"];

/** 200 schedules of a profile break no rule, and run the same way whenever they run. */
export function checkProfile(profile: ProfileName): void {
  it(
    `breaks no rule in ${SCHEDULES} schedules`,
    async () => {
      const failing: string[] = [];
      let due = 0;
      for (let seed = 1; seed <= SCHEDULES; seed++) {
        const { violations, counts } = await simulate(generate(profile, seed));
        due += counts.mustClaim;
        for (const { rule, text } of violations.slice(0, 1)) {
          failing.push(`npm run simulate -- --profile ${profile} --seed ${seed}: ${rule}: ${text}`);
        }
      }
      expect(failing).toEqual([]);
      // A Worker that always says no would break hardly any rule.
      expect(due).toBeGreaterThan(SCHEDULES);
    },
    TIMEOUT_MS,
  );

  it("runs the same way twice", async () => {
    const run = async () => (await simulate(generate(profile, 7))).traceHash;
    expect(await run()).toBe(await run());
  });
}
