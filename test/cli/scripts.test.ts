import { execFile } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { PROJECT_ROOT } from "../support/node/project-root.ts";

const PATH = `${join(PROJECT_ROOT, "node_modules/.bin")}:${process.env.PATH}`;

/** Runs a script of package.json without `npm run`, which takes longer than the script. */
function runScript(
  name: keyof typeof manifest.scripts,
  ...args: string[]
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const command = [manifest.scripts[name], ...args].join(" ");
  const options = { cwd: PROJECT_ROOT, env: { ...process.env, PATH } };
  return new Promise((resolve) =>
    execFile("sh", ["-c", command], options, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    ),
  );
}

test.concurrent.each(["fuzz", "simulate", "load", "bench"] as const)(
  "prints the error and the usage when `npm run %s` gets an unknown option",
  async (name) => {
    const { code, stdout, stderr } = await runScript(name, "--sed", "1");
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

test.concurrent("prints the usage on stdout for --help", async () => {
  expect(await runScript("fuzz", "--help")).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^Usage: npm run fuzz/),
    stderr: "",
  });
});
