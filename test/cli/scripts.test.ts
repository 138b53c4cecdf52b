import { execFile } from "node:child_process";
import { expect, test } from "vitest";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

/** Runs a script of the project as a developer does. */
function script(name: string, ...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) =>
    execFile("npm", ["run", "-s", name, "--", ...args], { cwd: PROJECT_ROOT }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    ),
  );
}

test.concurrent.each(["fuzz", "simulate", "load", "bench"])(
  "npm run %s says what is wrong with an option that it does not know, and how it is used",
  async (name) => {
    const { code, stdout, stderr } = await script(name, "--sed", "1");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(new RegExp(`^Unknown option '--sed'.*\n\nUsage: npm run ${name} -- \\[`));
    expect(
      stderr
        .split("\n")
        .slice(1)
        .filter((line) => line.length > 90),
    ).toEqual([]);
  },
);

test.concurrent("--help is no mistake", async () => {
  expect(await script("fuzz", "--help")).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^Usage: npm run fuzz/),
    stderr: "",
  });
});
