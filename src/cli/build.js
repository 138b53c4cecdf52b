// `npm run build`: bundles the command as one file that needs only Node.js.
import { chmod, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));
const outfile = `${root}dist/resource-pool.mjs`;

/** Leaves only those fields in package.json that the command prints. */
const usedFields = {
  name: "used fields of package.json",
  /** @param {import("esbuild").PluginBuild} build */
  setup({ onLoad }) {
    onLoad({ filter: /package\.json$/ }, async ({ path }) => {
      if (path !== `${root}package.json`) return undefined;
      const { version, homepage } = JSON.parse(await readFile(path, "utf8"));
      return { contents: JSON.stringify({ version, homepage }), loader: "json" };
    });
  },
};

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ["src/cli/bin.js"],
  outfile,
  bundle: true,
  metafile: true,
  minify: true,
  platform: "node",
  format: "esm",
  target: "node22",
  banner: {
    // CommonJS packages load Node's own modules with `require`.
    js: 'import { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);',
  },
  logLevel: "warning",
  plugins: [usedFields],
});
await chmod(outfile, 0o755);
await writeFile(`${root}dist/resource-pool.meta.json`, JSON.stringify(metafile));
