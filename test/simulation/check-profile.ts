import { expect, it } from "vitest";
import { generate } from "./generate.ts";
import { MUTATIONS } from "./mutations.ts";
import type { ProfileName } from "./profiles.ts";
import { simulate } from "./simulation.ts";

/** Schedules of each profile, in addition to the seeds in mutations.ts. */
const SCHEDULES = 10;
/** A test takes about 2 s on an idle machine. */
const TIMEOUT_MS = 120_000;

/** The profiles of read-profiles.test.ts. write-profiles.test.ts has the others, so that two processes share the work. */
export const READ_PROFILES: readonly ProfileName[] = ["healthy", "degraded-kv", "isolates", "pushes"];

function seedsOf(profile: ProfileName): number[] {
  const first = Array.from({ length: SCHEDULES }, (_, index) => index + 1);
  const catching = Object.values(MUTATIONS).filter((mutation) => mutation.profile === profile);
  return [...new Set([...first, ...catching.flatMap(({ seed }) => seed ?? [])])];
}

/** Declares the tests of a profile. */
export function checkProfile(profile: ProfileName): void {
  const seeds = seedsOf(profile);

  it(
    `breaks no rule in ${seeds.length} schedules of the profile ${profile}`,
    async () => {
      const failures: string[] = [];
      let due = 0;
      for (const seed of seeds) {
        const { violations, counts } = await simulate(generate(profile, seed));
        due += counts.due;
        for (const { rule, text } of violations.slice(0, 1)) {
          failures.push(`npm run simulate -- --profile ${profile} --seed ${seed}: ${rule}: ${text}`);
        }
      }
      expect(failures).toEqual([]);
      // A Worker that matches nothing would break few rules, so enough matches must be due.
      expect(due).toBeGreaterThan(seeds.length);
    },
    TIMEOUT_MS,
  );

  it(`runs a schedule of the profile ${profile} the same way twice`, async () => {
    const run = async () => (await simulate(generate(profile, 7))).traceHash;
    expect(await run()).toBe(await run());
  });
}
