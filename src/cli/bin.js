#!/usr/bin/env node
// Plain JavaScript, so that old versions of Node.js can print what is missing.
const [major, minor] = process.versions.node.split(".").map(Number);
/** The first versions in which connections can use a proxy. */
const isSupported = (major === 22 && minor >= 21) || (major === 24 && minor >= 5) || major > 24;

if (isSupported) {
  // AWS' client is large: with the compile cache it loads in half the time.
  (await import("node:module")).enableCompileCache();
  try {
    await import("./main.ts");
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    console.error(
      `${error.message.split("\n")[0]}\nRun \`npm ci --include=dev\` in the project's directory: it installs all that is needed.`,
    );
    process.exitCode = 1;
  }
} else {
  console.error(
    `resource-pool needs Node.js 22.21 or later, or 24.5 or later, and this is ${process.version}. Install a current version.`,
  );
  process.exitCode = 1;
}
