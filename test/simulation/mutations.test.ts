import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { MUTATIONS } from "./mutations.ts";

/** One of each kind; `npm run simulate -- --mutations` checks all that have a seed. */
const CHECKED = [
  "held by its time",
  "values before the pointer",
  "an old pointer is distrusted",
  "no key before the pointer was read",
  "a no that a push was told stands",
];
const path = (name: string) => fileURLToPath(import.meta.resolve(`./${name}`));

it.each(Object.entries(MUTATIONS))(
  "what it changes stands in the code once: %s",
  async (_, { file, from }) => {
    const code = await readFile(path(`../../${file}`), "utf8");
    expect(code.split(from)).toHaveLength(2);
  },
);

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
