import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { MUTATIONS } from "./mutations.ts";

/** One mutation of each kind; `npm run simulate -- --mutations` checks all. */
const CHECKED = [
  "R1.3: an older observation that a file is present is ignored",
  "R1.5: the delta is stored before the manifest that names it",
  "R1.2: a manifest that is a day old counts for nothing",
  "R1.2: keys count only with a manifest",
  "R1.8: a match gets the mode bits that it lacks",
];
const path = (name: string) => fileURLToPath(import.meta.resolve(`./${name}`));

it.each(Object.entries(MUTATIONS))(
  "finds the text that a mutation replaces exactly once in the code: %s",
  async (_, { file, from }) => {
    const code = await readFile(path(`../../${file}`), "utf8");
    expect(code.split(from)).toHaveLength(2);
  },
);

it("names a seed or a schedule for each mutation that catches it", async () => {
  const schedules = await Promise.all(
    ["named-schedules", "named-pushes", "named-sessions", "named-fail-open"].map((name) =>
      readFile(path(`${name}.test.ts`), "utf8"),
    ),
  );
  for (const { seed, named } of Object.values(MUTATIONS)) {
    if (named === undefined) expect(seed).toBeGreaterThan(0);
    else expect(schedules.join()).toContain(`"${named}`);
  }
});

it.each(CHECKED)("catches the mutation of %s in the simulation", (name) => {
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      "--import",
      path("register.ts"),
      path("run.ts"),
      "--first",
      "--mutation",
      name,
      "--seed",
      String(MUTATIONS[name]?.seed),
    ],
    { encoding: "utf8" },
  );
  expect(stdout).toMatch(/^seed \d+ fails: /);
  expect(status).toBe(1);
});
