#!/usr/bin/env node
// Plain JavaScript, so that old versions of Node.js can print what is missing.
const [major, minor] = process.versions.node.split(".").map(Number);
const INSTALL = "Run `npm ci --include=dev` in the project's directory: it installs all that is needed.";

if (major > 22 || (major === 22 && minor >= 18)) {
  // AWS' client is large: with the compile cache it loads in half the time.
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
      "Or use dist/resource-pool.mjs, made by `npm run build`: it needs only Node.js 22.",
  );
  process.exitCode = 1;
}
