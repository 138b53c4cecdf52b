import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { MUTATIONS } from "./mutations.ts";

/** One of each kind; `npm run simulate -- --mutations` checks all. */
const CHECKED = [
  "held by its time",
  "values before the pointer",
  "an old pointer is distrusted",
  "no key before the pointer was read",
  "the mode bits that a claim lacks are added",
];
const path = (name: string) => fileURLToPath(import.meta.resolve(`./${name}`));

it.each(Object.entries(MUTATIONS))(
  "what it changes stands in the code once: %s",
  async (_, { file, from }) => {
    const code = await readFile(path(`../../${file}`), "utf8");
    expect(code.split(from)).toHaveLength(2);
  },
);

it("each is caught by a seed, or by a schedule that has a name", async () => {
  const schedules = await Promise.all(
    ["named-schedules", "named-pushes"].map((name) => readFile(path(`${name}.test.ts`), "utf8")),
  );
  for (const { seed, named } of Object.values(MUTATIONS)) {
    if (named === undefined) expect(seed).toBeGreaterThan(0);
    else expect(schedules.join()).toContain(`"${named}`);
  }
});

it.each(CHECKED)("the simulation notices where the code does without: %s", (name) => {
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      ...["--import", path("register.ts"), path("run.ts"), "--first"],
      ...["--mutation", name, "--seed", String(MUTATIONS[name]?.seed)],
    ],
    { encoding: "utf8" },
  );
  expect(stdout).toMatch(/^seed \d+ fails: /);
  expect(status).toBe(1);
});
