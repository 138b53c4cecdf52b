#!/usr/bin/env node
// Plain JavaScript that old versions understand too, so that they can say what is missing.
const [major, minor] = process.versions.node.split(".").map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  // AWS' client is a lot of code: compiled once, it loads in half the time.
  (await import("node:module")).enableCompileCache();
  await import("./main.ts");
} else {
  console.error(
    `resource-pool needs Node.js 22.18 or later; this is ${process.version}. ` +
      "`npm run -s resource-pool -- …` in the project's directory brings its own.",
  );
  process.exitCode = 1;
}
