import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { MUTATIONS } from "./mutations.ts";

/** From that seed on: another may have to do once the code has changed. */
const SCHEDULES = 100;
const path = (name: string) => fileURLToPath(import.meta.resolve(`./${name}`));
const checked = Object.entries(MUTATIONS).filter(([, { seed }]) => seed !== undefined);

it.each(Object.entries(MUTATIONS))(
  "what it changes stands in the code once: %s",
  async (_, { file, from }) => {
    const code = await readFile(path(`../../${file}`), "utf8");
    expect(code.split(from)).toHaveLength(2);
  },
);

it.each(checked)("the simulation notices where the code does without: %s", (name, { seed }) => {
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      ...["--import", path("register.ts"), path("run.ts"), "--first"],
      ...["--mutation", name, "--seed", String(seed), "--schedules", String(SCHEDULES)],
    ],
    { encoding: "utf8" },
  );
  expect(stdout).toMatch(/^seed \d+ fails: /);
  expect(status).toBe(1);
});
