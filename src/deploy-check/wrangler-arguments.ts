import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

/** `wrangler build` and `wrangler check startup` bundle without deploying. */
const BUNDLERS = ["build", "check"];

/**
 * Reads the arguments of the wrangler that runs this process from its command line. Wrangler passes only the name of its
 * command to a custom build.
 */
export function wranglerArguments() {
  const { values, positionals, tokens } = parseArgs({
    args: commandLineOfWrangler(),
    options: {
      config: { type: "string", short: "c" },
      env: { type: "string", short: "e" },
      cwd: { type: "string" },
      var: { type: "string" },
      "dry-run": { type: "boolean" },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const variables: Record<string, string> = {};
  let option = "";
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "option") option = token.name;
    // From `--var A:1 B:2 --var=C:3`.
    const [, name, value] = /^(\w+):(.*)$/s.exec(token.value ?? "") ?? [];
    if (option === "var" && name !== undefined && value !== undefined) variables[name] = value;
  }
  return {
    isDryRun: String(values["dry-run"]) === "true" || BUNDLERS.includes(positionals[0] ?? ""),
    config: values.config as string | undefined,
    env: values.env as string | undefined,
    variables,
    hasRoutes: tokens.some((token) => token.kind === "option" && /^routes?$/.test(token.name)),
  };
}

function commandLineOfWrangler(): string[] {
  try {
    for (let pid = process.ppid; pid > 1; ) {
      const { parent, line } = processOf(pid);
      const program = line.findIndex((word) => /[\\/]wrangler-dist[\\/]cli\.js$/.test(word));
      if (program !== -1) return line.slice(program + 1);
      pid = parent;
    }
  } catch {
    // Windows has neither /proc nor ps. npm sets the variable below for its scripts.
  }
  return (process.env.npm_lifecycle_script ?? "").split(/\s+/).slice(1);
}

/** Returns the pid of the parent, and the command line as words. */
function processOf(pid: number): { parent: number; line: string[] } {
  if (process.platform === "linux") {
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return { parent: Number(parent), line };
  }
  const [parent, ...line] = execFileSync("ps", ["-ww", "-o", "ppid=,args=", "-p", String(pid)], {
    encoding: "utf8",
  })
    .trim()
    .split(/\s+/);
  return { parent: Number(parent), line };
}
