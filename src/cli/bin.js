#!/usr/bin/env node
// Plain JavaScript that old versions understand too, so that they can say what is missing.
const [major, minor] = process.versions.node.split(".").map(Number);
const INSTALL = "`npm ci --include=dev` in the project's directory brings all that is needed.";

if (major > 22 || (major === 22 && minor >= 18)) {
  // AWS' client is a lot of code: compiled once, it loads in half the time.
  (await import("node:module")).enableCompileCache();
  try {
    await import("./main.ts");
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    console.error(`${error.message.split("\n")[0]}\n${INSTALL}`);
    process.exitCode = 1;
  }
} else {
  console.error(
    `resource-pool's source needs Node.js 22.18 or later; this is ${process.version}. ${INSTALL}\n` +
      "`npm run build` makes dist/resource-pool.mjs, which needs Node.js 22 alone.",
  );
  process.exitCode = 1;
}
