/**
 * Run by wrangler before it bundles the Worker (`[build]` in wrangler.toml). Plain JavaScript that any Node.js which
 * wrangler runs on understands, so that it can say what is missing.
 */
const DEPLOYS = ["deploy", "versions upload"];

if (DEPLOYS.includes(process.env.WRANGLER_COMMAND ?? "")) {
  if (process.features.typescript) {
    const { refusePlaceholders } = await import("./deploy-check.ts");
    await refusePlaceholders();
  } else {
    console.error(
      `Deploying needs Node.js 22.18 or later; this is ${process.version}. \`npx wrangler deploy\` brings one.`,
    );
    process.exitCode = 1;
  }
}
