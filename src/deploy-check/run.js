/**
 * Runs before wrangler bundles the Worker (`[build]` in wrangler.toml). Plain JavaScript, so that old versions of Node.js
 * can print what is missing.
 */
const DEPLOY_COMMANDS = ["deploy", "versions upload"];

if (DEPLOY_COMMANDS.includes(process.env.WRANGLER_COMMAND ?? "")) {
  if (process.features.typescript) {
    const { checkDeployment } = await import("./deploy-check.ts");
    await checkDeployment();
  } else {
    console.error(
      `Not deployed. This needs Node.js 22.18 or later, and this is ${process.version}. Run \`npx wrangler deploy\`: it ` +
        "brings its own.",
    );
    process.exitCode = 1;
  }
}
